"""The run directory: its paths, its lock, its log, and files that appear whole.

The directory is the truth about a run. Whoever trains holds the flock on `lock` for as long as it
lives, so a free lock is local proof that no trainer is alive. The log is append-only: every append
takes the log's own short lock, cuts a torn last line that a dead writer left, and writes whole
lines, so an evaluation may add its line while training goes on.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from apps.errors import DiskFull, RunDirectoryBusy, RunDirectoryError
from apps.rundir import events
from apps.rundir.files import FULL_DISK_ERRORS, link_or_copy, write_json
from apps.rundir.log import LogWriter
from apps.rundir.plain_files import open_plain

LOCK_ATTEMPTS = 25
LOCK_RETRY_S = 0.02

# Descriptors of the locks that this process holds.
_held: set[int] = set()


def _leave_locks() -> None:
    """Hold no lock in a process that was forked: what an environment forks may outlive us."""
    for fd in _held:
        os.close(fd)
    _held.clear()


os.register_at_fork(after_in_child=_leave_locks)


class RunDirectory:
    """Paths inside one run's directory; see docs/architecture.md for what each file holds."""

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.spec = self.path / "spec.json"
        self.record = self.path / "record.json"
        self.provenance = self.path / "provenance.json"
        self.log = self.path / "metrics.jsonl"
        self.train_log = self.path / "train.log"
        self.checkpoints = self.path / "checkpoints"
        self.evaluations = self.path / "eval"
        self.films = self.path / "films"
        self.tensorboard = self.path / "tensorboard"
        self.init = self.path / "init.zip"
        self.lock_file = self.path / "lock"

    def __repr__(self) -> str:
        return f"RunDirectory({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The directory's name, which is the run's id."""
        return self.path.name

    def create(self, spec: dict[str, Any], record: dict[str, Any]) -> Self:
        """Make the directory with its spec and its record (name, experiment, lineage).

        Raises:
            RunDirectoryError: The directory exists already.
            DiskFull: There is no room for it; nothing is left of it.
        """
        try:
            self.path.mkdir(parents=True)
        except FileExistsError:
            raise RunDirectoryError(f"{self.path} exists already") from None
        try:
            write_json(self.spec, spec)
            write_json(self.record, record)
        except (DiskFull, OSError):
            shutil.rmtree(self.path, ignore_errors=True)  # Half a directory is no run.
            raise
        return self

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the directory's lock for the length of the block.

        Raises:
            RunDirectoryBusy: Another process holds it; the message names its process id.
            RunDirectoryError: The directory does not exist.
        """
        try:
            fd = open_plain(self.lock_file, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            raise RunDirectoryError(f"{self.path} does not exist") from None
        try:
            try:
                _lock_patiently(fd)
            except BlockingIOError:
                holder = os.read(fd, 32).decode(errors="replace").strip() or "unknown"
                raise RunDirectoryBusy(
                    f"run {self.name} is being trained by process {holder}; stop it first"
                ) from None
            os.ftruncate(fd, 0)
            os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
            _held.add(fd)
            yield
        finally:
            _held.discard(fd)
            os.close(fd)

    def lock_holder(self) -> int | None:
        """Return the process id that holds the lock, None when it is free."""
        try:
            fd = open_plain(self.lock_file)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            text = os.read(fd, 32).decode(errors="replace").strip()
            return int(text) if text.isdecimal() else 0
        finally:
            os.close(fd)
        return None

    def clear_leftovers(self) -> None:
        """Remove what a killed trainer left half-written; call while holding the lock."""
        for leftover in self.checkpoints.glob(".*.tmp"):
            if leftover.is_dir():
                shutil.rmtree(leftover, ignore_errors=True)
            else:
                leftover.unlink(missing_ok=True)

    def has_checkpoint(self, step: int) -> bool:
        """Whether a finished checkpoint of a step is on disk."""
        return (self.checkpoints / str(step) / "manifest.json").exists()

    def append(self, *new_events: events.Event) -> int:
        """Append events to the log in one write and return the cursor after them."""
        with LogWriter(self.log) as writer:
            return writer.write(new_events)


def _lock_patiently(fd: int) -> None:
    # Whoever asks `lock_holder` holds the lock for some microseconds: that is no trainer.
    for _ in range(LOCK_ATTEMPTS - 1):
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_RETRY_S)
    return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def take_weights(source: Path, target: RunDirectory, is_ours: bool) -> None:
    """Take a model file that a run starts from into the run's directory, whole.

    Args:
        source: The file.
        target: The run's directory.
        is_ours: Whether this program wrote it, and so never changes it: then it is hard-linked.

    Raises:
        DiskFull: There is no room for it.
    """
    beside = target.path / ".init.zip.tmp"
    try:
        if is_ours:
            link_or_copy(str(source), str(beside))
        else:
            shutil.copyfile(source, beside)
        fd = os.open(beside, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    except OSError as error:
        if error.errno in FULL_DISK_ERRORS:
            raise DiskFull("the disk is full: the model file could not be copied") from error
        raise
    beside.replace(target.init)
