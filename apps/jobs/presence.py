"""Which workers live: each holds the lock of a file of its own for as long as it does."""

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from apps.rundir.files import FULL_DISK_ERRORS

FOLDER = "workers"
FULL_DISK_RETRY_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Worker:
    """What a worker says of itself.

    Attributes:
        slots: How many runs it trains at once.
        max_runs: How many it lets this machine train at once, other workers' included.
        evaluations: How many evaluations it carries out at once.
        films: How many films it makes at once.
    """

    slots: int
    max_runs: int
    evaluations: int = 1
    films: int = 1


@contextmanager
def announced(home: Path, worker: Worker) -> Iterator[None]:
    """Hold this process's lock file for the length of the block."""
    path = home / FOLDER / f"{os.getpid()}.lock"
    fd = _said_patiently(path, json.dumps(asdict(worker)).encode())
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(fd)


def _said_patiently(path: Path, said: bytes) -> int:
    """Write and lock a worker's file; on a full disk, wait until it takes that much.

    A worker that ended over it would be started again and again.
    """
    while True:
        try:
            path.parent.mkdir(exist_ok=True)
            fd = _locked(path)
            try:
                os.ftruncate(fd, 0)
                is_said = os.pwrite(fd, said, 0) == len(said)
            except OSError:
                os.close(fd)
                raise
            if is_said:
                return fd
            os.close(fd)
        except OSError as error:
            if error.errno not in FULL_DISK_ERRORS:
                raise
        logger.warning("the disk is full: the worker waits until %s can be written", path)
        time.sleep(FULL_DISK_RETRY_S)


def _locked(path: Path) -> int:
    """Open a file and hold its lock; again if somebody cleared it away before it was held."""
    while True:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(fd, fcntl.LOCK_EX)
        if path.exists() and os.path.samestat(path.stat(), os.fstat(fd)):
            return fd
        os.close(fd)


def living(home: Path) -> list[Worker]:
    """Return the workers that live, and clear away the files of those that died."""
    alive = []
    for path in (home / FOLDER).glob("*.lock"):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if said := os.pread(fd, 4096, 0):  # Empty for a moment, before it has said anything.
                alive.append(Worker(**json.loads(said)))
        else:
            path.unlink(missing_ok=True)
        finally:
            os.close(fd)
    return alive
