"""Which workers live: each holds the lock of a file of its own for as long as it does."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = "workers"


@contextmanager
def announced(home: Path) -> Iterator[None]:
    """Hold this process's lock file for the length of the block."""
    folder = home / FOLDER
    folder.mkdir(exist_ok=True)
    path = folder / f"{os.getpid()}.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(fd)


def count(home: Path) -> int:
    """Return how many workers live, and clear away the files of those that died."""
    alive = 0
    for path in (home / FOLDER).glob("*.lock"):
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            alive += 1
        else:
            path.unlink(missing_ok=True)
        finally:
            os.close(fd)
    return alive
