"""The log of a run: appended by one writer, read by many, a line torn by a kill left out."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from apps.errors import DiskFull
from apps.rundir import events
from apps.rundir.files import FULL_DISK_ERRORS
from apps.rundir.plain_files import open_plain, reading

READ_CHUNK_BYTES = 1 << 20
# Ten thousand metrics take a line of about 1 MB; a far longer one is damage.
MAX_LINE_BYTES = 16 << 20


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
