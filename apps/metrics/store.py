"""Read a run's log: its tail by cursor, its series by key, its raw last lines.

The log is the truth and is read in whole lines; what cannot be decoded is counted and skipped.
Points of an earlier attempt that a later one started over are superseded: kept in the log, not
returned unless they are asked for.
"""

import math
import os
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

import numpy as np

from apps.analysis.axes import Axis
from apps.analysis.curves import FloatArray, smooth, thin, windowed_mean
from apps.metrics.columns import moments_of, view
from apps.metrics.line import KEYS_OF_AXIS, Curve, Line, Resumption
from apps.rundir.events import Event, MalformedLine, decode
from apps.rundir.log import READ_CHUNK_BYTES, read_lines
from apps.rundir.plain_files import reading

# Kinds of events that belong to a step; the others belong to a moment.
POINT_TYPES = frozenset({"metrics", "episode", "checkpoint"})
MIN_POINTS = 4


@dataclass(frozen=True, slots=True)
class Tail:
    """What a log holds after a cursor.

    Attributes:
        events: Decoded lines in order.
        cursor: Byte offset after the last of them: what to ask for next.
        malformed: Lines that were skipped because they are no events.
    """

    events: list[Event]
    cursor: int
    malformed: int


@dataclass(slots=True)
class Series:
    """One curve.

    Attributes:
        key: Metric key, or `episode/return` / `episode/length` for training episodes.
        xs: Shape (n,), float64, places on the axis.
        steps: Shape (n,), float64, environment steps.
        values: Shape (n,), float64; NaN and Inf as they were logged.
        times: Shape (n,), float64, unix seconds.
        n_raw: Points before thinning.
        smoothed: Shape (n,), float64, what smoothing makes of all points, at those of this curve;
            NaN where there is nothing to smooth. None when none was asked for.
        superseded: What a later attempt started over, by number of the attempt that logged it.
    """

    key: str
    xs: FloatArray
    steps: FloatArray
    values: FloatArray
    times: FloatArray
    n_raw: int
    smoothed: FloatArray | None = None
    superseded: list[tuple[int, "Series"]] = field(default_factory=list)

    @property
    def is_downsampled(self) -> bool:
        """Whether points were left out."""
        return len(self.steps) < self.n_raw


@dataclass(slots=True)
class SeriesSet:
    """Several curves of one run, read in one pass.

    Attributes:
        series: Curves by key; a key without a point is absent.
        keys: Every key that the log holds.
        cursor: Where a stream goes on without a gap.
        malformed: Lines that were skipped.
        resumptions: Where later attempts go on.
    """

    series: dict[str, Series] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    cursor: int = 0
    malformed: int = 0
    resumptions: list[Resumption] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Smoothing:
    """How curves are smoothed: by one of the two, over all their points.

    Attributes:
        weight: Share of the past in each new average, 0 <= weight < 1.
        window: Width of a mean in steps; 0 for none.
    """

    weight: float = 0.0
    window: int = 0

    def of(self, curve: Curve) -> FloatArray | None:
        """Return what it makes of a curve, None when it does nothing."""
        if self.window:
            return windowed_mean(curve.steps, curve.values, self.window)
        return smooth(curve.values, self.weight) if self.weight else None


UNSMOOTHED = Smoothing()


def tail(log: Path, after: int, max_bytes: int = 1 << 20) -> Tail:
    """Read the events after a cursor, at most about `max_bytes` of them."""
    lines, cursor = read_lines(log, after, max_bytes)
    decoded: list[Event] = []
    malformed = 0
    for line in lines:
        try:
            decoded.append(decode(line))
        except MalformedLine:
            malformed += 1
    return Tail(decoded, cursor, malformed)


def read_all(log: Path, after: int = 0) -> Iterator[Tail]:
    """Read a log from a cursor to its present end, piece by piece."""
    while True:
        piece = tail(log, after)
        if piece.cursor == after:
            return
        yield piece
        after = piece.cursor


class Supersession:
    """Which points of a log a later attempt started over."""

    def __init__(self, log: Path, until: int | None = None) -> None:
        """Look at a log's attempts, up to a cursor or to its present end."""
        places, cursor = moments_of(log)
        self.until = cursor if until is None else until
        attempts = [
            (start, event["from_step"])
            for (start, _), event in zip(places, _events_at(log, places, self.until), strict=False)
            if event["type"] == "attempt"
        ]
        self._starts = [start for start, _ in attempts]
        # Before each attempt, the least step from which it or a later one went on; then no limit.
        steps = [*(step for _, step in attempts), math.inf]
        self._limits = [*accumulate(reversed(steps), min)][::-1]

    def judge(self, events: Iterable[Event], start: int = 0) -> Iterator[tuple[Event, bool]]:
        """Yield events that lie in the log from a cursor on, each with whether it is visible."""
        passed = bisect_left(self._starts, start)
        for event in events:
            if event["type"] == "attempt":
                passed = min(passed + 1, len(self._starts))
            is_point = event["type"] in POINT_TYPES
            yield event, not is_point or event["step"] <= self._limits[passed]


def visible_events(log: Path, until: int | None = None) -> Iterator[Event]:
    """Yield a log's events in order, without those that a later attempt superseded.

    Args:
        log: The run's log.
        until: Cursor to stop at, None for the present end.
    """
    supersession = Supersession(log, until)
    events = _events_until(log, supersession.until)
    for event, is_visible in supersession.judge(events):
        if is_visible:
            yield event


def _events_until(log: Path, until: int) -> Iterator[Event]:
    after = 0
    while after < until:
        piece = tail(log, after, min(until - after, READ_CHUNK_BYTES))
        if piece.cursor == after or piece.cursor > until:
            return
        yield from piece.events
        after = piece.cursor


def moments(log: Path) -> Iterator[Event]:
    """Yield a log's events that are neither metrics nor episodes; the others are not read."""
    return _events_at(log, *moments_of(log))


def _events_at(log: Path, places: list[tuple[int, int]], until: int) -> Iterator[Event]:
    # Should the log go, or another take its place meanwhile, there is nothing to tell of it.
    with suppress(FileNotFoundError, MalformedLine), reading(log) as file:
        for start, end in places:
            if end <= until:
                yield decode(os.pread(file.fileno(), end - start, start))


def series(
    log: Path,
    keys: list[str] | None = None,
    max_points: int = 1500,
    from_step: int = 0,
    to_step: int | None = None,
    ancestors: Sequence[tuple[Path, int]] = (),
    *,
    axis: Axis = "step",
    smoothing: Smoothing = UNSMOOTHED,
    with_superseded: bool = False,
) -> SeriesSet:
    """Read the curves of a run, thinned for a chart.

    Args:
        log: The run's log.
        keys: Metric keys wanted; None means all.
        max_points: About how many points of each curve to return, and about as many superseded.
        from_step: First step wanted.
        to_step: Last step wanted, None for the end.
        ancestors: Logs of the runs that this one went on from, oldest first, each with the step at
            which the next one left it; their points come first.
        axis: What the points are placed and thinned by. Where the log does not count episodes or
            updates, there are no curves along them.
        smoothing: Smoothed values wanted beside the values.
        with_superseded: Whether points that a later attempt started over are wanted too.
    """
    needed = KEYS_OF_AXIS.get(axis, [])
    wanted = None if keys is None else [*keys, *needed]
    views = [view(path, wanted) for path in [*(path for path, _ in ancestors), log]]
    known = sorted(set().union(*(one.keys for one in views)))
    found = SeriesSet({}, known, views[-1].cursor, views[-1].malformed)
    if not set(needed) <= set(known):
        return found
    line = Line(views, [left_at for _, left_at in ancestors], axis)
    found.resumptions = line.resumptions()
    window = from_step, np.inf if to_step is None else to_step
    for key in known if keys is None else keys:
        curve = line.curve(key)
        one = _thinned(key, line, curve, smoothing.of(curve), window, max_points)
        if with_superseded:
            one.superseded = _superseded(key, line, window, max_points)
        if one.n_raw or one.superseded:
            found.series[key] = one
    return found


def _thinned(
    key: str,
    line: Line,
    curve: Curve,
    smoothed: FloatArray | None,
    window: tuple[float, float],
    max_points: int,
) -> Series:
    first = int(np.searchsorted(curve.steps, window[0]))
    last = max(first, int(np.searchsorted(curve.steps, window[1], side="right")))
    chosen = first + thin(curve.xs[first:last], curve.values[first:last], max_points)
    return Series(
        key,
        curve.xs[chosen],
        curve.steps[chosen],
        curve.values[chosen],
        line.times[chosen if curve.rows is None else curve.rows[chosen]],
        last - first,
        None if smoothed is None else smoothed[chosen],
    )


def _superseded(
    key: str, line: Line, window: tuple[float, float], max_points: int
) -> list[tuple[int, Series]]:
    parts = line.superseded(key)
    share = max(MIN_POINTS, max_points // max(1, len(parts)))
    thinned = [(a, _thinned(key, line, curve, None, window, share)) for a, curve in parts]
    return [(attempt, one) for attempt, one in thinned if one.n_raw]


def latest(log: Path) -> dict[str, float]:
    """Return the last value of every metric key."""
    seen = view(log)
    line = Line([seen], [], "step")
    values = {key: line.curve(key).values for key in seen.keys}
    return {key: float(one[-1]) for key, one in values.items() if len(one)}


def last_lines(path: Path, count: int, max_bytes: int = 1 << 20) -> list[str]:
    """Return the last lines of a text file, undecodable bytes replaced; none when it is missing.

    Only a newline ends a line: JSON may hold the other characters that `splitlines` splits at.

    Raises:
        NotPlainFile: A link, a pipe or a folder lies in its place.
    """
    try:
        with reading(path) as file:
            start = max(0, file.seek(0, os.SEEK_END) - max_bytes)
            file.seek(start)
            data = file.read()
    except FileNotFoundError:
        return []
    if start:  # The read most likely began within a line.
        data = data.partition(b"\n")[2] or data
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    return [line.decode(errors="replace") for line in lines[-count:]] if count > 0 else []
