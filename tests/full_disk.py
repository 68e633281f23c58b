"""A small disk of a test's own, which can be filled."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

BALLAST = "ballast"
CHUNK = b"\0" * (64 << 10)


@contextmanager
def small_disk(path: Path, size_mb: int) -> Iterator[Path]:
    """Mount a file system of so many MB; skips the test where nobody may mount."""
    path.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size_mb}m", "tmpfs", str(path)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("this machine has no mount command")
    if done.returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        yield path
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(disk: Path, leave_bytes: int = 0) -> None:
    """Fill a small disk up to some bytes."""
    with (disk / BALLAST).open("ab", buffering=0) as file, suppress(OSError):
        while (free := os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize) > leave_bytes:
            file.write(CHUNK[: max(1, min(len(CHUNK), free - leave_bytes))])


def empty(disk: Path) -> None:
    """Free what `fill` took."""
    (disk / BALLAST).unlink()
