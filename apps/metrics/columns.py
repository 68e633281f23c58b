"""The columns of a log, kept in step with it: only what is new is parsed.

What a process has read stays in its memory, up to a bound. What was parsed goes to the side file,
a stretch at a time, for every process that comes later.
"""

import os
import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from apps.analysis.axes import IntArray, Restart
from apps.analysis.curves import FloatArray
from apps.metrics.sidefile import SAMPLE_BYTES, Damaged, Segment, SideFile, Stale
from apps.metrics.stretch import NO_ROWS, STEPS, TIMES, Held, Stretch, joined, parse
from apps.rundir.log import read_whole_lines
from apps.rundir.plain_files import NotPlainFile, reading, status_of

SIDE_FILE = "metrics.columns"
# What a process keeps of all logs together; a million points of one metric take 24 MB.
CACHE_BYTES = 256 << 20
# Small enough for a processor's cache once its lines are objects.
CHUNK_BYTES = 1 << 18
# A stretch becomes a segment when parsing it again would be felt: from a megabyte on (a hundredth
# of a second), more in a longer log, so that a log that is followed for days has few of them.
SEGMENT_BYTES = 1 << 20
LARGEST_SEGMENT = 16
SEGMENTS_OF_A_LOG = 64
# A side file that was found wrong this often in a row is left alone.
STRIKES = 2
# What the least log takes in memory.
ENTRY_BYTES = 4096

Piece = Segment | Stretch
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class View:
    """A log as it was at a moment.

    Attributes:
        steps: Shape (n,), float64, environment steps of the rows in the order they were written.
        times: Shape (n,), float64, unix seconds.
        points: By key: the rows that hold the metric, None for all of them, and its values.
        restarts: Attempts that began.
        evaluations: Rows that evaluations wrote.
        keys: Every metric key that the log holds, sorted.
        cursor: Byte after the last whole line.
        malformed: Lines that are no events.
    """

    steps: FloatArray
    times: FloatArray
    points: dict[str, Held]
    restarts: list[Restart]
    evaluations: IntArray
    keys: list[str]
    cursor: int
    malformed: int


class Growing:
    """An array that grows at its end; what it has handed out stays as it was."""

    def __init__(self, kind: type) -> None:
        self._data: NDArray[Any] = np.empty(0, dtype=kind)
        self._size = 0

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self._data.nbytes

    @property
    def held(self) -> NDArray[Any]:
        """What it holds, to be read only."""
        held = self._data[: self._size]
        held.flags.writeable = False
        return held

    def reserve(self, count: int) -> None:
        """Make room for `count` more."""
        needed = self._size + count
        if needed > len(self._data):
            # Exact at first; then by halves, so that growing costs no more than what is new.
            larger = np.empty(max(needed, self._size * 3 // 2), dtype=self._data.dtype)
            larger[: self._size] = self.held
            self._data = larger

    def room(self, count: int) -> NDArray[Any]:
        """Return the next `count` places, for the caller to fill."""
        self.reserve(count)
        self._size += count
        return self._data[self._size - count : self._size]


@dataclass(slots=True)
class Column:
    """A metric in memory, up to some row.

    Attributes:
        values: Its values.
        rows: Their rows; None while every row has a value.
        covered: Rows of the log that were looked at.
    """

    values: Growing = field(default_factory=lambda: Growing(np.float64))
    rows: Growing | None = None
    covered: int = 0

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        return self.values.nbytes + (self.rows.nbytes if self.rows else 0)

    def extend(self, key: str, pieces: Sequence[tuple[int, Piece]], fd: int) -> None:
        """Take in pieces of the log, each with its first row, that follow what is covered."""
        counts = [piece.count(key) for _, piece in pieces]
        self.values.reserve(sum(counts))
        for (first, piece), count in zip(pieces, counts, strict=True):
            if count < piece.n_rows and self.rows is None:
                self.rows = Growing(np.int64)
                self.rows.room(self.covered)[:] = np.arange(self.covered)
            if count and self.covered == first:
                rows = self.rows.room(count) if self.rows else None
                piece.read(key, self.values.room(count), rows, fd)
                if rows is not None:
                    rows += first
            elif count:
                self._take_rest(key, first, piece, fd)
            self.covered = first + piece.n_rows

    def _take_rest(self, key: str, first: int, piece: Piece, fd: int) -> None:
        """Take the end of a piece whose beginning was taken when it was a piece of its own."""
        values, rows = np.empty(piece.count(key)), np.empty(piece.count(key), dtype=np.int64)
        piece.read(key, values, rows, fd)
        rows += first
        known = int(np.searchsorted(rows, self.covered))
        self.values.room(len(rows) - known)[:] = values[known:]
        if self.rows:
            self.rows.room(len(rows) - known)[:] = rows[known:]


class LogColumns:
    """The columns of one log in this process; safe to use from several threads.

    Attributes:
        nbytes: About how much memory they take.
        parsed_bytes: How much of the log this process parsed itself.
    """

    def __init__(self, log: Path, segment_bytes: int = SEGMENT_BYTES) -> None:
        self._log = log
        self._path = log.with_name(SIDE_FILE)
        self._segment_bytes = segment_bytes
        self.nbytes = ENTRY_BYTES
        self.parsed_bytes = 0
        self._lock = threading.Lock()
        self._strikes = 0
        self._may_write = True
        self._forget()

    def view(self, keys: Iterable[str] | None) -> View:
        """Bring the columns in step with the log and return those of some metrics, or of all."""
        wanted = None if keys is None else list(keys)
        return self._read(lambda: self._view(sorted(self._metrics) if wanted is None else wanted))

    def moments(self) -> tuple[list[tuple[int, int]], int]:
        """Return the bytes of the lines that are neither metrics nor episodes, and the cursor."""
        return self._read(lambda: ([*self._moments], self._cursor))

    def keep(self) -> None:
        """Parse what the log gained, once it may be enough for the side file, but not too much."""
        with suppress(OSError, NotPlainFile):  # Whoever reads a log that is damaged is told then.
            if status_of(self._log).st_size >= self._cursor + self._segment_bytes:
                self._read(lambda: None, self._segment_bytes * LARGEST_SEGMENT)

    def _read(self, read: Callable[[], Found], most_bytes: float = np.inf) -> Found:
        with self._lock:
            while True:
                try:
                    self._refresh(most_bytes)
                    found = read()
                except Stale as error:
                    self._start_over(error)
                else:
                    self._strikes = 0
                    self._weigh()
                    return found

    def _weigh(self) -> None:
        self.nbytes = ENTRY_BYTES + sum(piece.nbytes for piece in self._pieces)
        self.nbytes += sum(column.nbytes for column in self._columns.values())

    @property
    def _metrics(self) -> set[str]:
        return self._keys - {STEPS, TIMES}

    def _forget(self) -> None:
        self._inode = -1
        self._cursor = 0
        self._tail = b""
        self._side: SideFile | None = None
        self._columns: dict[str, Column] = {}
        self._set_pieces([])

    def _set_pieces(self, pieces: Sequence[Piece]) -> None:
        self._pieces: list[Piece] = []
        self._first_rows: list[int] = []
        self._n_rows = 0
        self._keys: set[str] = set()
        self._restarts: list[Restart] = []
        self._evaluations: list[IntArray] = []
        self._moments: list[tuple[int, int]] = []
        self._malformed = 0
        for piece in pieces:
            self._add(piece)

    def _add(self, piece: Piece) -> None:
        first = self._n_rows
        self._pieces.append(piece)
        self._first_rows.append(first)
        self._n_rows += piece.n_rows
        self._keys.update(piece.columns)
        self._restarts += [replace(one, row=one.row + first) for one in piece.restarts]
        self._evaluations.append(piece.evaluations + first)
        self._moments += piece.moments
        self._malformed += piece.malformed

    def _refresh(self, most_bytes: float) -> None:
        try:
            stat = status_of(self._log)
        except FileNotFoundError:
            return self._forget()
        is_same = stat.st_ino == self._inode and stat.st_size >= self._cursor
        if not is_same or self._sample(self._cursor, len(self._tail)) != self._tail:
            self._forget()
            self._inode = stat.st_ino
            if self._strikes < STRIKES:
                self._adopt(SideFile.open(self._path, self._log))
        largest = self._segment_bytes * LARGEST_SEGMENT
        until, end = self._cursor + most_bytes, -1
        while end != self._cursor:  # What another process kept may end before what was read here.
            while self._cursor < until and self._read_on():
                self._keep(largest)
            end = self._cursor
            self._keep(min(max(self._segment_bytes, end // SEGMENTS_OF_A_LOG), largest))

    def _sample(self, end: int, length: int) -> bytes:
        with reading(self._log) as file:
            return os.pread(file.fileno(), length, end - length)

    def _adopt(self, side: SideFile | None) -> None:
        """Go on from a side file: what is parsed and not in it will be parsed again."""
        if side is None:
            return
        self._side = side
        self._set_pieces([*side.segments])
        self._cursor = side.segments[-1].end if side.segments else 0
        self._tail = self._sample(self._cursor, min(self._cursor, SAMPLE_BYTES))

    def _read_on(self) -> bool:
        data, cursor = read_whole_lines(self._log, self._cursor, CHUNK_BYTES)
        if not data:
            return False
        stretch = parse(data, self._cursor)
        stretch.end = cursor
        self.parsed_bytes += len(data)
        # What stands for a line that was too long is not what the log holds.
        is_whole = cursor - self._cursor == len(data)
        tail = (self._tail + data)[-SAMPLE_BYTES:]
        self._tail = tail if is_whole else self._sample(cursor, SAMPLE_BYTES)
        self._cursor = cursor
        self._add(stretch)
        return True

    def _keep(self, smallest: int) -> None:
        """Put what was parsed into the side file when it is enough."""
        if not self._may_write or self._strikes >= STRIKES:
            return
        in_file = len(self._side.segments) if self._side else 0
        pending = [piece for piece in self._pieces[in_file:] if isinstance(piece, Stretch)]
        if not pending or pending[-1].end - pending[0].start < smallest:
            return
        try:
            self._append(pending, in_file)
        except (OSError, NotPlainFile):
            # Not ours to write, or no room: what was parsed stays in memory.
            self._may_write = False

    def _append(self, pending: list[Stretch], in_file: int) -> None:
        if self._side is None:
            found = SideFile.open(self._path, self._log)
            if found is not None and found.segments:
                return self._adopt(found)  # Another process was faster.
            self._side = found or SideFile.create(self._path, self._log)
        whole = joined(pending)
        sample = self._tail[-min(SAMPLE_BYTES, whole.end - whole.start) :]
        if self._side.append(whole, sample):
            return self._set_pieces([*self._side.segments])
        newer = SideFile.open(self._path, self._log)
        if newer is None:
            raise Stale("the side file was replaced by that of another log")
        if newer.name != self._side.name or len(newer.segments) > in_file:
            self._adopt(newer)
        return None

    def _start_over(self, error: Stale) -> None:
        self._forget()
        self._strikes += 1
        if isinstance(error, Damaged):
            try:
                SideFile.create(self._path, self._log)
            except OSError:
                self._strikes, self._may_write = STRIKES, False

    def _view(self, keys: Iterable[str]) -> View:
        steps, times, *columns = self._columns_of([STEPS, TIMES, *keys])
        return View(
            steps.values.held,
            times.values.held,
            {
                key: (column.rows.held if column.rows else None, column.values.held)
                for key, column in zip(keys, columns, strict=True)
            },
            [*self._restarts],
            np.concatenate(self._evaluations) if self._evaluations else NO_ROWS,
            sorted(self._metrics),
            self._cursor,
            self._malformed,
        )

    def _columns_of(self, keys: list[str]) -> list[Column]:
        # A key that the log does not hold is not remembered.
        columns = [
            self._columns.setdefault(key, Column()) if key in self._keys else Column()
            for key in keys
        ]
        behind = [one for one in zip(keys, columns, strict=True) if one[1].covered < self._n_rows]
        with self._side.reading() if behind and self._side else nullcontext(-1) as fd:
            for key, column in behind:
                # The first piece that is not covered, or not whole.
                start = max(0, bisect_right(self._first_rows, column.covered) - 1)
                pieces = zip(self._first_rows[start:], self._pieces[start:], strict=True)
                ahead = [one for one in pieces if one[0] + one[1].n_rows > column.covered]
                column.extend(key, ahead, fd)
        return columns


_cache: OrderedDict[Path, LogColumns] = OrderedDict()
_cache_lock = threading.Lock()


def view(log: Path, keys: Iterable[str] | None = None) -> View:
    """Return a log's columns of some metrics, or of all, as the log now is."""
    with _cached(log) as columns:
        return columns.view(keys)


def moments_of(log: Path) -> tuple[list[tuple[int, int]], int]:
    """Return where a log's lines lie that are neither metrics nor episodes, and its cursor."""
    with _cached(log) as columns:
        return columns.moments()


def keep_columns(log: Path) -> None:
    """Put what a log gained into its side file, so that no reader has to parse it.

    Until it has gained a megabyte this is a `stat`; then it takes a tenth of a second at most.
    """
    with _cached(log) as columns:
        columns.keep()


@contextmanager
def _cached(log: Path) -> Iterator[LogColumns]:
    with _cache_lock:
        columns = _cache.setdefault(log, LogColumns(log))
        _cache.move_to_end(log)
    yield columns
    with _cache_lock:
        # Forget the logs that were not asked for longest, until the rest fits.
        total = sum(one.nbytes for one in _cache.values())
        while total > CACHE_BYTES and _cache:
            total -= _cache.popitem(last=False)[1].nbytes
