"""The rows of a run and of those that it went on from, laid end to end as one line."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from apps.analysis.axes import (
    Axis,
    Clock,
    IntArray,
    Restart,
    counter,
    occurrences,
    seconds,
    surviving,
)
from apps.analysis.curves import FloatArray
from apps.metrics.columns import View
from apps.metrics.stretch import EPISODE_RETURN

NO_VALUES: FloatArray = np.empty(0)

UPDATES = "train/n_updates"
# What an axis is counted from, beside steps and times.
KEYS_OF_AXIS: dict[Axis, list[str]] = {"episodes": [EPISODE_RETURN], "updates": [UPDATES]}


@dataclass(frozen=True, slots=True)
class Curve:
    """Points of one metric in the order of their steps.

    Attributes:
        rows: Shape (n,), int64, the rows that hold them; None where they are all rows in order.
        xs: Shape (n,), float64, their places on the axis, not decreasing.
        steps: Shape (n,), float64, environment steps, not decreasing.
        values: Shape (n,), float64.
    """

    rows: IntArray | None
    xs: FloatArray
    steps: FloatArray
    values: FloatArray


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where a later attempt goes on.

    Attributes:
        attempt: Its number.
        step: Step that it goes on from.
        x: The same on the axis.
        pause_s: Seconds from the last row before it to its beginning, which no axis counts.
    """

    attempt: int
    step: int
    x: float
    pause_s: float


class Line:
    """Rows in the order they were written, an ancestor's before its descendant's.

    Attributes:
        times: Shape (n,), float64, unix seconds of each row.
    """

    def __init__(self, views: Sequence[View], left_at: Sequence[int], axis: Axis) -> None:
        """Lay logs end to end.

        Args:
            views: Of each log, the run's own last.
            left_at: Of each but the last, the step at which the next one went on from it.
            axis: What places its points.
        """
        self._views = views
        self._firsts = np.cumsum([0, *(len(view.steps) for view in views)]).tolist()
        self._restarts: list[Restart] = []
        for first, view, left in zip(self._firsts, views, [*left_at, None], strict=False):
            self._restarts += [replace(one, row=one.row + first) for one in view.restarts]
            if left is not None:
                self._restarts.append(Restart(first + len(view.steps), left, np.nan, 0))
        self._steps = _end_to_end([view.steps for view in views])
        self.times = _end_to_end([view.times for view in views])
        # Where nothing was interrupted, nothing is superseded.
        is_whole = not any(restart.row for restart in self._restarts)
        self._survives = None if is_whole else surviving(self._steps, self._restarts)
        self._xs = self._steps
        self._origins: list[int | None] = [restart.row - 1 for restart in self._restarts]
        if axis != "step":
            self._count(axis)

    def _count(self, axis: Axis) -> None:
        evaluations = [v.evaluations + f for v, f in zip(self._views, self._firsts, strict=False)]
        clock = Clock(self._steps, self._restarts, self._survives, np.concatenate(evaluations))
        self._origins = clock.goes_on_from()[1:]
        if axis == "time":
            self._xs = clock.count(seconds(clock, self.times))
        elif axis == "episodes":
            episodes = self._rows(*self._points(EPISODE_RETURN))
            self._xs = clock.count(occurrences(episodes, len(self._steps)))
        else:
            rows, values = self._points(UPDATES)
            self._xs = clock.count(counter(self._rows(rows, values), values))

    def _points(self, key: str) -> tuple[IntArray | None, FloatArray]:
        """Return a metric's rows, None for all there are, and its values."""
        points = [view.points.get(key, (None, NO_VALUES)) for view in self._views]
        if len(points) == 1:
            return points[0]
        rows = [
            self._rows(found, values) + first
            for first, (found, values) in zip(self._firsts, points, strict=False)
        ]
        return np.concatenate(rows), np.concatenate([values for _, values in points])

    @staticmethod
    def _rows(rows: IntArray | None, values: FloatArray) -> IntArray:
        return np.arange(len(values)) if rows is None else rows

    def curve(self, key: str) -> Curve:
        """Return the points of a metric that survive."""
        rows, values = self._points(key)
        if self._survives is not None:
            kept = self._survives if rows is None else self._survives[rows]
            rows, values = self._rows(rows, values)[kept], values[kept]
        return self._in_order(rows, values)

    def superseded(self, key: str) -> list[tuple[int, Curve]]:
        """Return the points of the run's own log that do not survive, by number of attempt."""
        if self._survives is None:
            return []
        found, values = self._points(key)
        rows = self._rows(found, values)
        lost = ~self._survives[rows] & (rows >= self._firsts[-2])
        rows, values = rows[lost], values[lost]
        begins = [restart.row for restart in self._restarts]
        stretch = np.searchsorted(begins, rows, side="right")
        return [
            (
                self._restarts[number - 1].attempt if number else 0,
                self._in_order(rows[stretch == number], values[stretch == number]),
            )
            for number in np.unique(stretch).tolist()
        ]

    def resumptions(self) -> list[Resumption]:
        """Return where later attempts go on, but for those that were superseded as a whole."""
        found: list[Resumption] = []
        limit = np.inf
        for restart, origin in zip(reversed(self._restarts), reversed(self._origins), strict=True):
            if restart.from_step < limit and restart.row and restart.attempt:
                pause_s = max(0.0, restart.t - float(self.times[restart.row - 1]))
                x = restart.from_step
                if self._xs is not self._steps:
                    x = 0.0 if origin is None else float(self._xs[origin])
                found.append(Resumption(restart.attempt, int(restart.from_step), x, pause_s))
            limit = min(limit, restart.from_step)
        return found[::-1]

    def _in_order(self, rows: IntArray | None, values: FloatArray) -> Curve:
        if rows is None:
            steps, xs = self._steps, self._xs
        else:
            steps, xs = self._steps[rows], self._xs[rows]
        if (steps[1:] < steps[:-1]).any():
            order = np.argsort(steps, kind="stable")
            rows = order if rows is None else rows[order]
            steps, xs, values = steps[order], xs[order], values[order]
        if (xs[1:] < xs[:-1]).any():
            xs = np.maximum.accumulate(xs)
        return Curve(rows, xs, steps, values)


def _end_to_end(arrays: Sequence[FloatArray]) -> FloatArray:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
