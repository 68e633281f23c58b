"""Where the points of a log stand on a chart's x axis: steps, training time, episodes, updates.

A log is a table of rows in the order in which they were written. Each attempt goes on from a step
and supersedes the rows beyond it: what is left is the surviving line, along which every axis
counts. A resumed run therefore has the axis of one that was never interrupted.
"""

import itertools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from apps.analysis.curves import FloatArray

Axis = Literal["step", "time", "episodes", "updates"]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
# What each row of a stretch adds to a count: called with its bounds and the row it goes on from.
Increments = Callable[[int, int, int | None], FloatArray]


@dataclass(frozen=True, slots=True)
class Restart:
    """Training went on from a step: rows written before it, beyond that step, are superseded.

    Attributes:
        row: First row after it.
        from_step: Step that it went on from.
        t: Unix seconds; NaN where the log does not say when.
        attempt: Number of the attempt; 0 where another run's log begins.
    """

    row: int
    from_step: float
    t: float
    attempt: int


def surviving(steps: FloatArray, restarts: Sequence[Restart]) -> BoolArray:
    """Return, row by row, whether no later restart superseded it.

    Args:
        steps: Shape (n,), float64, the rows' steps in the order they were written.
        restarts: In the order they were written.
    """
    limits = np.full(len(steps), np.inf)
    limit = np.inf
    end = len(steps)
    for restart in reversed(restarts):
        limits[restart.row : end] = limit
        limit, end = min(limit, restart.from_step), restart.row
    limits[:end] = limit
    return steps <= limits


@dataclass(slots=True)
class Clock:
    """Counts something along the surviving line.

    Attributes:
        steps: Shape (n,), float64, the rows' steps in the order they were written.
        restarts: In the order they were written.
        survives: Shape (n,), whether no later restart superseded the row; None: each survives.
        off_clock: Rows that another process wrote while training stood or went elsewhere: they
            have no place of their own and take that of their step.
    """

    steps: FloatArray
    restarts: Sequence[Restart]
    survives: BoolArray | None
    off_clock: IntArray
    _in_order: BoolArray = field(init=False)

    def __post_init__(self) -> None:
        self._in_order = np.ones(len(self.steps), dtype=np.bool_)
        self._in_order[self.off_clock] = False
        for start, end in self.stretches():
            on_clock = np.where(self._in_order[start:end], self.steps[start:end], -np.inf)
            if (on_clock[1:] < on_clock[:-1]).any():
                self._in_order[start:end] &= on_clock >= np.maximum.accumulate(on_clock)

    def stretches(self) -> list[tuple[int, int]]:
        """Return the rows of the time before the first restart, and of each after one."""
        bounds = [0, *(restart.row for restart in self.restarts), len(self.steps)]
        return list(itertools.pairwise(bounds))

    def goes_on_from(self) -> list[int | None]:
        """Return, for each stretch, the row whose count it goes on from."""
        stretches = self.stretches()
        return [self._origin(number, stretches) for number in range(len(stretches))]

    def _origin(self, number: int, stretches: list[tuple[int, int]]) -> int | None:
        limit = np.inf
        for earlier in range(number - 1, -1, -1):
            limit = min(limit, self.restarts[earlier].from_step)
            start, end = stretches[earlier]
            reached = self._in_order[start:end] & (self.steps[start:end] <= limit)
            if reached.any():
                return end - 1 - int(np.argmax(reached[::-1]))
        return None

    def count(self, increments: Increments) -> FloatArray:
        """Return the count at each row, superseded ones included.

        Rows out of order, and those off the clock, take the count of the last surviving row that
        was written before them and is not beyond their step.
        """
        counts = np.zeros(len(self.steps))
        for (start, end), origin in zip(self.stretches(), self.goes_on_from(), strict=True):
            base = 0.0 if origin is None else counts[origin]
            counts[start:end] = base + np.cumsum(increments(start, end, origin))
        late = np.flatnonzero(~self._in_order)
        if len(late):
            on_line = self._in_order
            if self.survives is not None:
                on_line = on_line & self.survives
            line = np.flatnonzero(on_line)
            counts[late] = self._count_at(late, line, counts)
        return counts

    def _count_at(self, rows: IntArray, line: IntArray, counts: FloatArray) -> FloatArray:
        reached = np.maximum.accumulate(self.steps[line])
        by_step = np.searchsorted(reached, self.steps[rows], side="right")
        place = np.minimum(by_step, np.searchsorted(line, rows))
        found: FloatArray = np.concatenate(([0.0], counts[line]))[place]
        return found


def seconds(clock: Clock, times: FloatArray) -> Increments:
    """Count seconds of training.

    The time between two attempts is left out, and so is what a superseded part of an attempt
    took. A clock that was set back adds nothing; one that was set ahead cannot be told from a
    long step.

    Args:
        clock: The rows.
        times: Shape (n,), float64, unix seconds of each row.
    """
    times = times.copy()
    # Time passes for training only from one row of its own to the next.
    times[clock.off_clock] = np.nan
    began_at = {restart.row: restart.t for restart in clock.restarts}

    def increments(start: int, end: int, origin: int | None) -> FloatArray:
        on_clock = np.flatnonzero(np.isfinite(times[start:end]))
        passed = np.zeros(end - start)
        if len(on_clock):
            first = times[start + on_clock[0]]
            began = began_at.get(start, np.nan)
            began = first if np.isnan(began) else began
            passed[on_clock] = np.diff(times[start + on_clock], prepend=began)
        return np.maximum(passed, 0.0)

    return increments


def occurrences(rows: IntArray, count: int) -> Increments:
    """Count rows: with those that end an episode, the episodes.

    Args:
        rows: Which rows count, increasing.
        count: Rows in all.
    """
    marks = np.zeros(count)
    marks[rows] = 1.0
    return lambda start, end, origin: marks[start:end]


def counter(rows: IntArray, values: FloatArray) -> Increments:
    """Follow a counter that was logged now and then, such as that of the updates.

    A counter that begins again, as it does where an attempt could not restore it, goes on from
    where it was.

    Args:
        rows: Rows that logged it, increasing.
        values: Shape (m,), float64, what they logged; NaN and Inf are passed over.
    """
    finite = np.isfinite(values)
    rows, values = rows[finite], values[finite]
    starts: list[int] = []
    befores: list[float] = []

    def held_at(row: int) -> float:
        stretch = bisect_right(starts, row) - 1
        place = int(np.searchsorted(rows, row, side="right")) - 1
        is_of_stretch = place >= 0 and rows[place] >= starts[stretch]
        return float(values[place]) if is_of_stretch else befores[stretch]

    def increments(start: int, end: int, origin: int | None) -> FloatArray:
        before = 0.0 if origin is None else held_at(origin)
        starts.append(start)
        befores.append(before)
        first, last = np.searchsorted(rows, (start, end))
        logged = values[first:last]
        added = np.diff(logged, prepend=before)
        grown = np.zeros(end - start)
        grown[rows[first:last] - start] = np.where(added < 0.0, logged, added)
        return np.maximum(grown, 0.0)

    return increments
