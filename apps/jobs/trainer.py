"""Trainer processes: start one, speak to it, end it, and keep a warm one in reserve.

A trainer runs in a session of its own, so a Ctrl-C meant for a worker does not reach it; it takes
the end of its stdin as the death of its supervisor. It is asked before it is forced.
"""

import functools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self, cast

from django.conf import settings

from apps.engine import protocol
from apps.engine.spec import RunSpec

DESCRIBE_TIMEOUT_S = 60.0
KILL_WAIT_S = 2.0
STDERR_TAIL_BYTES = 4096
TRAINER = ("apps.engine", "--supervised")
DESCRIBER = ("apps.engine.describing",)


class TrainerFailed(Exception):
    """A trainer process could not do what it was asked to."""


class TrainerProcess:
    """One process of the engine, from its start to its last reply."""

    def __init__(self, *module_and_flags: str) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as self
        self._process = subprocess.Popen(
            [sys.executable, "-m", *module_and_flags],
            cwd=settings.BASE_DIR,
            env={**os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._reply: protocol.Reply | None = None
        # A reply may be larger than a pipe holds, so somebody must always be reading.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # The process is gone, so a broken pipe says nothing new.
            self._process.stdin.close()
        self._reader.join(KILL_WAIT_S)
        self._stderr.close()

    @property
    def pid(self) -> int:
        """The process id, which is its process group's too."""
        return self._process.pid

    def send(self, message: protocol.Job | protocol.Request) -> None:
        """Write one line to the process; one that is gone says so by its exit, not here."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(protocol.encode(message))
            self._process.stdin.flush()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the process to end; False when it still runs."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(KILL_WAIT_S)
        return True

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End the process and its children: asked by SIGTERM, then forced."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.wait(0.0 if number == signal.SIGTERM else KILL_WAIT_S):
                return
            try:
                os.killpg(self.pid, number)
            except ProcessLookupError:
                return
        self._process.wait()

    def reply(self) -> protocol.Reply:
        """Return the last word of a process that has ended.

        One that was killed or broke before it could speak is given words here.
        """
        if self._reply is not None and self._reply["reply"] != "ready":
            return self._reply
        code = self._process.returncode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return {"reply": "crashed", "message": f"Its process was killed by {name}."}
        return {
            "reply": "crashed",
            "message": f"Its process ended with code {code} before it could start.",
            "traceback": self._stderr_tail(),
        }

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended the process before it could say anything."""
        has_spoken = self._reply is not None and self._reply["reply"] != "ready"
        return not has_spoken and (self._process.returncode or 0) < 0

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                try:
                    self._reply = cast(protocol.Reply, protocol.decode(line, "reply"))
                except protocol.BadLine:
                    continue  # Something printed before stdout was redirected.

    def _stderr_tail(self) -> str:
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - STDERR_TAIL_BYTES))
        return self._stderr.read().decode(errors="replace")


class Reserve:
    """Keeps one warm trainer, so that a click shows its first metric in a fraction of a second.

    A warm trainer has imported everything and run two tiny jobs; it waits for its one job and is
    replaced when taken. It costs about 300 MB of memory while it waits (docs/settings.md), hence
    the switch.
    """

    def __init__(self, is_enabled: bool) -> None:
        self._is_enabled = is_enabled
        self._lock = threading.Lock()
        self._waiting: TrainerProcess | None = None

    def fill(self) -> None:
        """Start the waiting trainer if there is none."""
        with self._lock:
            if self._is_enabled and (self._waiting is None or not self._waiting.is_running()):
                self._waiting = TrainerProcess(*TRAINER, "--warm")

    def take(self) -> TrainerProcess:
        """Return a trainer without a job, warm if one waits; call `fill` once it is at work."""
        with self._lock:
            taken, self._waiting = self._waiting, None
        if taken is not None and taken.is_running():
            return taken
        return TrainerProcess(*TRAINER)

    def close(self) -> None:
        """End the waiting trainer."""
        with self._lock:
            taken, self._waiting, self._is_enabled = self._waiting, None, False
        if taken is not None:
            with taken:
                taken.kill()


def describe(spec: RunSpec) -> dict[str, Any]:
    """Construct a spec's environment in a process of its own and return its description.

    Raises:
        TrainerFailed: It cannot be made, crashes, or takes longer than a minute.
    """
    job: protocol.DescribeJob = {
        "job": "describe",
        "environment": spec.environment,
        "kwargs": spec.environment_kwargs,
        "wrappers": spec.wrappers,
        "frame_stack": spec.frame_stack,
    }
    return _describe(json.dumps(job, sort_keys=True))


@functools.lru_cache(maxsize=256)
def _describe(job_json: str) -> dict[str, Any]:
    job = cast(protocol.DescribeJob, json.loads(job_json))
    environment = job["environment"]
    with TrainerProcess(*DESCRIBER) as process:
        process.send(job)
        if not process.wait(DESCRIBE_TIMEOUT_S):
            raise TrainerFailed(
                f"{environment} took longer than {DESCRIBE_TIMEOUT_S:.0f} s to construct"
            )
        reply = process.reply()
    if reply["reply"] != "done":
        raise TrainerFailed(reply.get("message", "") or f"{environment} could not be described")
    return reply["result"]
