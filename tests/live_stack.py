"""The product as its users run it, for tests: `manage.py up` in a data directory of its own."""

import json
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import psutil

from apps.jobs.worker import stack
from tests import commands

# `up` gives up what dies more often than it restarts in a minute: so far apart kills must be.
APART_S = stack.RESTART_WINDOW_S / stack.MAX_RESTARTS + 0.5
ROOT = Path(__file__).resolve().parent.parent
LINK = re.compile(r"http://127\.0\.0\.1:\d+/login/\S+")
Found = TypeVar("Found")


def free_port() -> int:
    """Return a TCP port that nobody listens on just now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_until(
    found: Callable[[], Found], timeout_s: float, what: str, interval_s: float = 0.05
) -> Found:
    """Return the first true value of `found`, or fail saying what was waited for."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if value := found():
            return value
        time.sleep(interval_s)
    raise AssertionError(f"waited {timeout_s:.0f} s in vain for {what}")


def assert_in_order(events: list[dict[str, Any]]) -> None:
    """Fail when the episodes of one attempt go back in steps."""
    step = 0
    for event in events:
        if event["type"] == "attempt":
            step = event["from_step"]
        if event["type"] == "episode":
            assert event["step"] >= step
            step = event["step"]


class LiveStack:
    """Web server and worker under `manage.py up`, and the commands beside them.

    No trainer waits in reserve unless a test asks for one: it would take processor time from
    what is looked at.
    """

    def __init__(self, home: Path, *flags: str, **given: str) -> None:
        variables = {"RLGYM_WARM_TRAINER": "0", **given}
        self.home = home
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.output = home / "up.log"
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{name: value for name, value in os.environ.items() if "DJANGO" not in name},
            "RLGYM_HOME": str(home),
            **variables,
        }
        self._flags, self._variables = flags, variables
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "LiveStack":
        self.start()
        return self

    def start(self) -> None:
        """Start `manage.py up`, and wait until it is there."""
        with self.output.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "manage.py", "up", "--port", str(self.port), *self._flags],
                cwd=ROOT,
                env=self.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_until(lambda: LINK.search(self.output.read_text()), 60, "the login link")

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)
        for process in self.processes():
            process.kill()

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The process of `manage.py up`."""
        assert self._process is not None
        return self._process

    @property
    def login_link(self) -> str:
        """The one-time address that `up` printed."""
        found = LINK.search(self.output.read_text())
        assert found is not None
        return found.group()

    def processes(self) -> list[psutil.Process]:
        """Every living process that works in this data directory, `up` itself left out."""
        return self.find("")

    def find(self, words: str) -> list[psutil.Process]:
        """Those of them whose command line holds the words."""
        found = []
        for process in psutil.process_iter():
            # One may end between any two questions; what has ended is not among the living.
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                command = " ".join(process.cmdline())  # Of a zombie there is none: it raises.
                is_ours = process.environ().get("RLGYM_HOME") == str(self.home)
                if is_ours and process.pid != self.process.pid and words in command:
                    found.append(process)
        return found

    @contextmanager
    def another_worker(self) -> Iterator[None]:
        """Run a second worker beside the stack's own."""
        worker = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=ROOT,
            env=self.environment,
            stderr=subprocess.DEVNULL,
        )
        try:
            yield
        finally:
            worker.terminate()
            worker.wait(timeout=60)

    def manage(self, *arguments: str) -> Any:
        """Run a command with `--json` and return what it printed."""
        done = commands.manage(self.home, *arguments, "--json", **self._variables)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def launch(self, timesteps: int = 10_000_000, **options: object) -> dict[str, Any]:
        """Queue a CartPole run that is quick to its first metric."""
        extra = [text for name, value in options.items() for text in (f"--{name}", str(value))]
        run: dict[str, Any] = self.manage(
            "train",
            "--queue",
            "--algo",
            "ppo",
            "--preset",
            "high_score",
            "-n",
            str(timesteps),
            *extra,
        )
        return run

    def run(self, run_id: str) -> dict[str, Any]:
        """The run as the command line shows it."""
        shown: dict[str, Any] = self.manage("run", run_id)
        return shown

    def wait_for(self, run_id: str, *statuses: str, timeout_s: float = 60) -> dict[str, Any]:
        """Wait until a run has one of the statuses, and return it.

        The row is looked at, which takes less of what the run needs than a command again and
        again; the command that shows the run must tell the same.
        """

        def found() -> dict[str, Any] | None:
            if self.status(run_id) not in statuses:
                return None
            run = self.run(run_id)
            return run if run["status"] in statuses else None

        return wait_until(found, timeout_s, f"{run_id} to be {' or '.join(statuses)}")

    def status(self, run_id: str) -> str | None:
        """The status in a run's row; None where it cannot be read just now."""
        with suppress(sqlite3.Error):
            address = f"file:{self.home / 'db.sqlite3'}?mode=ro"
            with closing(sqlite3.connect(address, uri=True)) as database:
                question = "SELECT status FROM experiments_run WHERE id = ?"
                row = database.execute(question, (run_id,)).fetchone()
                return str(row[0]) if row else None
        return None

    def wait_for_training(self, run_id: str) -> Path:
        """Wait until the log of a run has a metric, and return the log."""
        log = self.home / "media" / "runs" / run_id / "metrics.jsonl"
        wait_until(lambda: b'"metrics"' in log.read_bytes(), 60, "the first metric")
        return log

    def trainer_pid(self, run_id: str) -> int:
        """The process id that holds a run's lock."""
        return int((self.home / "media" / "runs" / run_id / "lock").read_text())

    def assert_nothing_is_left(self) -> None:
        """Fail when an ended run left a trainer, a half-written file, or steps out of order."""
        # What follows a run, its evaluation and film, may be writing for a moment longer.
        wait_until(
            lambda: not list((self.home / "media").rglob("*.tmp*")), 60, "half-written files to go"
        )
        for log in (self.home / "media" / "runs").glob("*/metrics.jsonl"):
            assert_in_order([json.loads(line) for line in log.read_bytes().splitlines()])
        # One may wait in reserve for the next run.
        wait_until(lambda: len(self.find("apps.engine")) <= 1, 20, "trainers of ended runs to end")

    def token(self) -> str:
        """Make an API token for the first admin."""
        code = (
            "from apps.accounts.models import ApiToken, first_admin\n"
            "print(ApiToken.objects.issue(first_admin(), 'tests'))"
        )
        done = commands.manage(self.home, "shell", "-v", "0", "-c", code, **self._variables)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def request(self, path: str, token: str, body: object = None, **headers: str) -> Any:
        """Open an address of the API; POST when there is a body."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self.address + path,
            data=data,
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
                **headers,
            },
        )
        return urllib.request.urlopen(request, timeout=20)
