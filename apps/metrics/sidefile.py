"""The columnar side file of a log: what was parsed once is not parsed again.

`metrics.columns` lies beside the log and is derived from it; whoever distrusts it deletes it. It
is a chain of frames. The first names the log that it belongs to; each further one, a segment,
holds the columns of the stretch of the log that follows the one before. Frames are only ever
appended, by whoever holds the file's lock; one that was not written to its end ends the chain.
Readers take no lock: what they have seen stays as it is, for a file that is wrong is replaced by
another, never changed. A reader that may not write just reads.
"""

import fcntl
import os
import secrets
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from apps.analysis.axes import IntArray, Restart
from apps.analysis.curves import FloatArray
from apps.metrics.stretch import NO_ROWS, Stretch
from apps.rundir.plain_files import NotPlainFile, open_plain, reading

FORMAT = f"rlgym columns 1, {sys.byteorder} endian"
# How much of a log before a place stands for all of it.
SAMPLE_BYTES = 4096
# Of each frame: lengths in bytes of its description and of its columns, check sum of the former.
PREAMBLE_BYTES = 24
# What a segment's place of one column takes in memory, about.
SEGMENT_BYTES_A_KEY = 200

Bytes = bytes | memoryview


class Stale(Exception):
    """The side file is gone, or another took its place."""


class Damaged(Stale):
    """The side file does not hold what it says."""


@dataclass(frozen=True, slots=True)
class Segment:
    """The columns of a stretch of a log, in the side file.

    Attributes:
        start: Byte of the log at which the stretch begins.
        end: Byte of the log after it.
        sample: Check sum of the log's bytes before `end`.
        n_rows: Lines that made points.
        restarts: Attempts that begin in it; rows counted from its first.
        moments: Bytes of the log's lines that are neither metrics nor episodes.
        evaluations: Rows that evaluations wrote, counted from its first.
        malformed: Lines that are no events.
        columns: By key: byte of the side file, count, check sum. The values come first, then the
            rows, unless every row has a value.
    """

    start: int
    end: int
    sample: int
    n_rows: int
    restarts: list[Restart]
    moments: list[tuple[int, int]]
    evaluations: IntArray
    malformed: int
    columns: Mapping[str, tuple[int, int, int]]

    @property
    def nbytes(self) -> int:
        """About how much memory the description takes."""
        return SEGMENT_BYTES_A_KEY * len(self.columns)

    def count(self, key: str) -> int:
        """Return how many values a column has."""
        return self.columns[key][1] if key in self.columns else 0

    def read(self, key: str, values: FloatArray, rows: IntArray | None, fd: int) -> None:
        """Read a column.

        Args:
            key: Its name.
            values: Shape (n,), float64, contiguous: where its values go.
            rows: Shape (n,), int64: where their rows go, counted from the segment's first; None
                when they are not wanted.
            fd: What `SideFile.reading` gave.

        Raises:
            Damaged: The bytes do not add up.
        """
        offset, count, expected = self.columns[key]
        has_rows = count < self.n_rows
        numbers = np.empty(count if has_rows else 0, dtype=np.uint32)
        size = os.preadv(fd, [values.data, numbers.data], offset)
        if size < values.nbytes + numbers.nbytes or _sum(values, numbers) != expected:
            raise Damaged(f"the check sum of {key!r} is wrong")
        if rows is not None:
            rows[:] = numbers if has_rows else np.arange(count)


@dataclass(slots=True)
class SideFile:
    """A side file as it was when it was opened, and what this process appended since.

    Attributes:
        path: The file.
        name: Drawn by lot when the file was made: another file has another.
        segments: In the order of the log.
        end: Byte after the last of them.
    """

    path: Path
    name: str
    segments: list[Segment]
    end: int

    @classmethod
    def open(cls, path: Path, log: Path) -> Self | None:
        """Open the side file of a log; None where there is none that belongs to it."""
        try:
            with reading(path) as file, reading(log) as source:
                first, *others = [*_frames(file.fileno())] or [Frame({}, 0, 0)]
                if first.described.get("format") != FORMAT:
                    return None
                end = others[-1].end if others else first.end
                found = cls(path, first.described["name"], [*map(_segment, others)], end)
                return found if _belongs(found, first.described, source.fileno()) else None
        except (OSError, NotPlainFile):
            return None

    @classmethod
    def create(cls, path: Path, log: Path) -> Self:
        """Put an empty side file in the place of whatever is there."""
        with reading(log) as source:
            head = os.pread(source.fileno(), SAMPLE_BYTES, 0)
            # A sample of a whole number of lines: a torn last one may yet be cut.
            head = head[: head.rfind(b"\n") + 1]
            described = {
                "format": FORMAT,
                "name": secrets.token_hex(8),
                "inode": os.fstat(source.fileno()).st_ino,
                "head_bytes": len(head),
                "head": zlib.crc32(head),
            }
        frame = b"".join(_encoded(described))
        beside = path.with_name(f".{path.name}.{described['name']}.tmp")
        try:
            beside.write_bytes(frame)
            beside.replace(path)
        finally:
            beside.unlink(missing_ok=True)
        return cls(path, str(described["name"]), [], len(frame))

    def append(self, stretch: Stretch, sample: bytes) -> bool:
        """Append the columns of the next stretch of the log.

        Args:
            stretch: The stretch.
            sample: The log's last bytes of it, `SAMPLE_BYTES` or all there are.

        Returns:
            Whether they are there: not when another process writes, or wrote, or replaced the
            file.
        """
        with self._locked() as fd:
            if fd is None:
                return False
            os.ftruncate(fd, self.end)  # What a writer left that died within a frame.
            os.lseek(fd, self.end, os.SEEK_SET)
            with open(fd, "wb", closefd=False) as file:
                file.writelines(_encoded_segment(stretch, sample))
            frame = _frame_at(fd, self.end)
            if frame is None:  # The disk took only a part of it.
                os.ftruncate(fd, self.end)
                return False
            self.segments.append(_segment(frame))
            self.end = frame.end
            return True

    @contextmanager
    def _locked(self) -> Iterator[int | None]:
        """Hold the file's lock; None when another does, or has written since it was opened."""
        fd = open_plain(self.path, os.O_RDWR)
        try:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            yield fd if self._is_mine(fd) and _frame_at(fd, self.end) is None else None
        finally:
            os.close(fd)

    def _is_mine(self, fd: int) -> bool:
        first = _frame_at(fd, 0)
        return first is not None and first.described.get("name") == self.name

    @contextmanager
    def reading(self) -> Iterator[int]:
        """Open the file to read columns from it.

        Raises:
            Stale: It is gone, or another took its place.
        """
        try:
            fd = open_plain(self.path)
        except (OSError, NotPlainFile) as error:
            raise Stale(str(error)) from error
        try:
            if not self._is_mine(fd):
                raise Stale("another file took its place")
            yield fd
        finally:
            os.close(fd)


def _sum(values: FloatArray, rows: NDArray[np.uint32]) -> int:
    return zlib.crc32(rows.data, zlib.crc32(values.data))


def _belongs(found: SideFile, described: Mapping[str, Any], source: int) -> bool:
    """Whether a side file was made from this log, and from what it still begins with."""
    stat = os.fstat(source)
    segments = found.segments
    if stat.st_ino != described["inode"] or (segments and segments[-1].end > stat.st_size):
        return False
    if zlib.crc32(os.pread(source, described["head_bytes"], 0)) != described["head"]:
        return False
    expected_start = 0
    for segment in segments:
        begin = max(segment.start, segment.end - SAMPLE_BYTES)
        sample = os.pread(source, segment.end - begin, begin)
        if segment.start != expected_start or zlib.crc32(sample) != segment.sample:
            return False
        expected_start = segment.end
    return True


class Frame(NamedTuple):
    """A frame: what it describes, and the bytes of the file where its columns begin and end."""

    described: dict[str, Any]
    begin: int
    end: int


def _frames(fd: int) -> Iterator[Frame]:
    end = 0
    while (frame := _frame_at(fd, end)) is not None:
        yield frame
        end = frame.end


def _frame_at(fd: int, start: int) -> Frame | None:
    """Read the frame that begins at a byte, None when no whole one does."""
    preamble = os.pread(fd, PREAMBLE_BYTES, start)
    if len(preamble) < PREAMBLE_BYTES:
        return None
    text_bytes, column_bytes, expected = np.frombuffer(preamble, np.uint64).tolist()
    begin = start + PREAMBLE_BYTES + text_bytes
    if not text_bytes or begin + column_bytes > os.fstat(fd).st_size:
        return None
    text = os.pread(fd, text_bytes, start + PREAMBLE_BYTES)
    if zlib.crc32(text) != expected:
        return None
    return Frame(orjson.loads(text), begin, begin + column_bytes)


def _encoded(described: Mapping[str, Any], columns: Sequence[Bytes] = ()) -> list[Bytes]:
    text = orjson.dumps(described, option=orjson.OPT_SERIALIZE_NUMPY)
    text += b" " * (-len(text) % 8)
    size = sum(memoryview(column).nbytes for column in columns)
    preamble = np.array([len(text), size, zlib.crc32(text)], dtype=np.uint64)
    return [preamble.data, text, *columns]


def _encoded_segment(stretch: Stretch, sample: bytes) -> list[Bytes]:
    columns: list[Bytes] = []
    places: dict[str, tuple[int, int, int]] = {}
    offset = 0
    for key, (rows, values) in stretch.columns.items():
        numbers = (NO_ROWS if rows is None else rows).astype(np.uint32)
        places[key] = (offset, len(values), _sum(values, numbers))
        padding = b"\0" * (-numbers.nbytes % 8)
        columns += [values.data, numbers.data, padding]
        offset += values.nbytes + numbers.nbytes + len(padding)
    described = {
        "start": stretch.start,
        "end": stretch.end,
        "sample": zlib.crc32(sample),
        "n_rows": stretch.n_rows,
        "restarts": [astuple(restart) for restart in stretch.restarts],
        "moments": stretch.moments,
        "evaluations": stretch.evaluations,
        "malformed": stretch.malformed,
        "columns": places,
    }
    return _encoded(described, columns)


def _segment(frame: Frame) -> Segment:
    described = frame.described
    return Segment(
        **{
            **described,
            "restarts": [Restart(*fields) for fields in described["restarts"]],
            "evaluations": np.array(described["evaluations"], dtype=np.int64),
            "columns": {
                key: (frame.begin + offset, count, total)
                for key, (offset, count, total) in described["columns"].items()
            },
        }
    )
