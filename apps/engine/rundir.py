"""The run directory: its paths, its lock, its log, and files that appear whole.

The directory is the truth about a run. Whoever trains holds the flock on `lock` for as long as it
lives, so a free lock is local proof that no trainer is alive. The log is append-only: every append
takes the log's own short lock, cuts a torn last line that a dead writer left, and writes whole
lines, so an evaluation may add its line while training goes on.
"""

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import orjson

from apps.engine import events
from apps.engine.errors import DiskFull, RunDirectoryBusy, RunDirectoryError
from apps.engine.plain_files import open_plain, reading

READ_CHUNK_BYTES = 1 << 20
# Ten thousand metrics take a line of about 1 MB; a far longer one is damage.
MAX_LINE_BYTES = 16 << 20
FULL_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})
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


class LogWriter:
    """Appends whole lines to a log; several processes may each hold one."""

    def __init__(self, path: Path) -> None:
        self._fd = open_plain(path, os.O_RDWR | os.O_CREAT | os.O_APPEND)
        self._end = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; every line written so far stays."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def write(self, new_events: Iterable[events.Event]) -> int:
        """Append events as whole lines and return the cursor after them.

        Raises:
            DiskFull: The disk took only part of the lines; the log was cut back to whole lines.
        """
        return self.write_lines(b"".join(map(events.encode, new_events)))

    def write_lines(self, lines: bytes) -> int:
        """Append whole lines and return the cursor after them.

        Raises:
            DiskFull: As for `write`.
        """
        with self.exclusive():
            return self.write_alone(lines)

    @contextmanager
    def exclusive(self) -> Iterator[int]:
        """Keep every other writer out for the length of the block.

        What is written in it (`write_alone`) follows from what the log held at its beginning.
        Gives the cursor after the last whole line.
        """
        fcntl.flock(self._fd, fcntl.LOCK_EX)
        try:
            end = os.fstat(self._fd).st_size
            if end != self._end:  # Another writer was here: it may have died within a line.
                self._end = self._cut_torn_line(end)
            yield self._end
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_UN)

    def write_alone(self, lines: bytes) -> int:
        """Append whole lines within `exclusive` and return the cursor after them.

        Raises:
            DiskFull: As for `write`.
        """
        self._end = self._write_whole(lines, self._end)
        return self._end

    def _write_whole(self, data: bytes, end: int) -> int:
        # On a full disk os.write may write a part and raise nothing, hence the count.
        try:
            written = os.write(self._fd, data)
        except OSError as error:
            if error.errno not in FULL_DISK_ERRORS:
                raise
            written = 0
        if written < len(data):
            os.ftruncate(self._fd, end)
            raise DiskFull(
                f"the disk is full: {written} of {len(data)} bytes of the log could be written; "
                "free some space, then start the run again"
            )
        return end + written

    def _cut_torn_line(self, end: int) -> int:
        position = end
        while position > 0:
            start = max(0, position - READ_CHUNK_BYTES)
            chunk = os.pread(self._fd, position - start, start)
            newline = chunk.rfind(b"\n")
            if newline >= 0:
                position = start + newline + 1
                break
            position = start
        if position < end:
            os.ftruncate(self._fd, position)
        return position


def _lock_patiently(fd: int) -> None:
    # Whoever asks `lock_holder` holds the lock for some microseconds: that is no trainer.
    for _ in range(LOCK_ATTEMPTS - 1):
        try:
            return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_RETRY_S)
    return fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


def read_lines(
    path: Path, after: int = 0, max_bytes: int = READ_CHUNK_BYTES
) -> tuple[list[bytes], int]:
    """Read whole lines of a log from a cursor on; see `read_whole_lines`.

    Returns:
        The lines without their newlines, and the cursor after them.
    """
    data, cursor = read_whole_lines(path, after, max_bytes)
    return data[:-1].split(b"\n") if data else [], cursor


def read_whole_lines(
    path: Path, after: int = 0, max_bytes: int = READ_CHUNK_BYTES
) -> tuple[bytes, int]:
    """Read whole lines of a log from a cursor on, as they lie in the file.

    Args:
        path: The log; a missing file reads as empty.
        after: Cursor: the byte offset after the last line already read.
        max_bytes: About how much to read; a single longer line is still returned whole, up to
            `MAX_LINE_BYTES`. One longer than that is no event: an empty line stands for it.

    Returns:
        The lines with their newlines, and the cursor after them. A torn last line is left out.

    Raises:
        NotPlainFile: A link, a pipe or a folder lies in the log's place.
    """
    try:
        with reading(path) as file:
            file.seek(after)
            data = file.read(max_bytes)
            end = data.rfind(b"\n") + 1
            if end or not data:
                return data[:end], after + end
            return _read_long_line(file, data, after)
    except FileNotFoundError:
        return b"", after


def _read_long_line(file: BinaryIO, data: bytes, after: int) -> tuple[bytes, int]:
    pieces, length = [data], len(data)
    while more := file.read(READ_CHUNK_BYTES):
        end = more.find(b"\n") + 1
        length += end or len(more)
        pieces.append(more[:end] if end else more)
        if length > MAX_LINE_BYTES:
            pieces.clear()
        if end:
            return b"".join(pieces) or b"\n", after + length
    return b"", after


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see either the old content or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        if error.errno in FULL_DISK_ERRORS:
            raise DiskFull(f"the disk is full: {path.name} could not be written") from error
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole, indented, keys in the given order."""
    write_whole(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return what `write_json` writes."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(value, option=option)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunDirectoryError: The file is missing, not JSON, or not an object.
    """
    try:
        with reading(path) as file:
            value = orjson.loads(file.read())
    except FileNotFoundError:
        raise RunDirectoryError(f"{path} does not exist") from None
    except orjson.JSONDecodeError as error:
        raise RunDirectoryError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{path} is damaged: not an object")
    return value


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text; a named pipe reads as empty."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_directory(beside: Path, target: Path) -> None:
    """Rename a finished directory into place, fsynced, replacing an earlier one of that name.

    Its files are new, or hard links into a directory that was published so.
    """
    for file in beside.iterdir():
        if file.stat().st_nlink > 1:
            continue  # Linked from a published directory, it was synced there; again costs 2 ms.
        fd = os.open(file, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    earlier = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    if target.exists():
        target.rename(earlier)
    beside.rename(target)
    shutil.rmtree(earlier, ignore_errors=True)


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


def link_or_copy(source: str, target: str) -> None:
    """Give a file that never changes a second name, or copy it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:  # Another file system, or one without hard links.
        shutil.copy2(source, target)
