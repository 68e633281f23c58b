"""The web server and the worker under one roof: started, watched, restarted, ended in order."""

import ctypes
import fcntl
import http.client
import json
import logging
import os
import resource
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from django.conf import settings

from apps.jobs.worker.addresses import AddressRefused, refuse_unusable, url_of

LOCK_FILE = "up.lock"
PR_SET_PDEATHSIG = 1
END_TIMEOUT_S = 35.0
START_TIMEOUT_S = 60.0
MAX_RESTARTS = 5
RESTART_WINDOW_S = 60.0
# A viewer is an open file of the web server; systems often allow 1,024 unless more are asked for.
MAX_OPEN_FILES = 16_384
# Whatever proxy the environment names: it is this machine that is asked.
DIRECTLY = urllib.request.build_opener(urllib.request.ProxyHandler({}))

logger = logging.getLogger(__name__)


class StackFailed(Exception):
    """The server or the worker could not be brought or kept up."""


@dataclass(slots=True)
class _Service:
    """One process of the stack and when it was restarted lately."""

    name: str
    command: list[str]
    process: subprocess.Popen[bytes] | None = None
    restarts: deque[float] = field(default_factory=deque)


class Stack:
    """The processes of `manage.py up`.

    Each child has a session of its own, so that a Ctrl-C reaches only this process, which ends
    them in order; should this process be killed, Linux ends them too.
    """

    def __init__(self, host: str, port: int, workers: int, with_web: bool = True) -> None:
        self._host, self._port = host, port
        self._address = url_of(host, port)
        # The web server tells it back: by it its own stack knows it.
        self._instance = secrets.token_hex(8)
        self._told = {"RLGYM_HOST": host, "RLGYM_INSTANCE": self._instance}
        self._with_web = with_web
        self._services = [_Service("worker", _worker_command(workers))]
        if with_web:
            self._services.append(_Service("web", _web_command(host, port)))

    @property
    def address(self) -> str:
        """Where the web server answers."""
        return self._address

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Be this data directory's only stack for the length of the block.

        Raises:
            StackFailed: Another one is up, or the web server could not listen; nothing was begun.
        """
        with only_one(Path(settings.HOME), self._address):
            try:
                if self._with_web:
                    refuse_unusable(self._host, self._port)
            except AddressRefused as error:
                raise StackFailed(str(error)) from error
            yield

    def start(self) -> None:
        """Start everything and wait until the web server answers; call it within `alone`.

        Raises:
            StackFailed: The web server ended or did not answer in time.
        """
        _allow_many_files()
        for service in self._services:
            self._spawn(service)
        if not self._with_web:
            return
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._answers():
            web = self._services[-1].process
            if web is None or web.poll() is not None or time.monotonic() > deadline:
                raise StackFailed(
                    f"the web server does not answer at {self._address}; look above for why, or "
                    "try another port with --port"
                )
            time.sleep(0.1)

    def tend(self) -> None:
        """Restart what has died; call about once a second.

        Raises:
            StackFailed: A service dies again and again.
        """
        for service in self._services:
            process = service.process
            if process is None or process.poll() is None:
                continue
            now = time.monotonic()
            while service.restarts and now - service.restarts[0] > RESTART_WINDOW_S:
                service.restarts.popleft()
            if len(service.restarts) >= MAX_RESTARTS:
                raise StackFailed(
                    f"the {service.name} process died {MAX_RESTARTS} times in a minute"
                )
            logger.warning(
                "the %s process ended with %s: restarting", service.name, process.returncode
            )
            service.restarts.append(now)
            self._spawn(service)

    def stop(self) -> None:
        """End everything, the worker first: its runs are saved while pages still answer."""
        for service in self._services:
            process = service.process
            if process is None or process.poll() is not None:
                continue
            process.terminate()
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _spawn(self, service: _Service) -> None:
        service.process = subprocess.Popen(
            service.command,
            cwd=settings.BASE_DIR,
            env=os.environ | self._told,
            start_new_session=True,
            preexec_fn=_end_with_parent if sys.platform == "linux" else None,
        )

    def _answers(self) -> bool:
        """Whether our own web server answers, and not another one at its address."""
        try:
            with DIRECTLY.open(f"{self._address}/api/v1/health", timeout=2) as response:
                told = json.load(response)
        except (OSError, http.client.HTTPException, ValueError):
            return False
        return isinstance(told, dict) and told.get("instance") == self._instance


@contextmanager
def only_one(home: Path, address: str) -> Iterator[None]:
    """Hold a data directory for one stack; a lock that ends with its process says so.

    Raises:
        StackFailed: Another one holds it; the message says where it is.
    """
    fd = os.open(home / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            told = os.pread(fd, 1000, 0).decode(errors="replace").strip() or "as another process"
            raise StackFailed(
                f"rlgym is up for {home} already, {told}; end that one first, or give this one a "
                "data directory of its own with RLGYM_HOME"
            ) from None
        with suppress(OSError):  # A full disk: the lock alone says enough.
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"as process {os.getpid()} at {address}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


def _worker_command(workers: int) -> list[str]:
    return [sys.executable, "manage.py", "worker", "--workers", str(workers)]


def _web_command(host: str, port: int) -> list[str]:
    # Daphne has no back-pressure; the limits keep what a client can make it hold small.
    return [
        sys.executable,
        "-m",
        "rlgym.server",
        "-b",
        host,
        "-p",
        str(port),
        "-v",
        "0",
        "--no-server-name",
        "--websocket-max-message-size",
        "65536",
        "--ping-interval",
        "20",
        "--ping-timeout",
        "30",
        "--application-close-timeout",
        "5",
        "rlgym.asgi:application",
    ]


def _allow_many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MAX_OPEN_FILES if hard == resource.RLIM_INFINITY else min(MAX_OPEN_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _end_with_parent() -> None:
    # Runs in the child before exec. The signal comes when the *thread* that forked ends: this one
    # is the main thread, which lives as long as the process.
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() == 1:
        os._exit(1)
