"""Read a run's log: its tail by cursor, its series by key, its raw last lines.

The log is the truth and is read in whole lines; what cannot be decoded is counted and skipped.
Points of an earlier attempt that a later one started over are superseded: kept in the log, not
returned.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from apps.analysis.curves import FloatArray, thin
from apps.engine.events import Event, MalformedLine, decode, return_of, value_of
from apps.engine.rundir import read_lines

# Kinds of events that belong to a step; the others belong to a moment.
POINT_TYPES = frozenset({"metrics", "episode", "checkpoint"})
# By key: step, value, unix seconds of each point.
Points = dict[str, list[tuple[float, float, float]]]
EPISODE_RETURN, EPISODE_LENGTH = "episode/return", "episode/length"


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
        steps: Shape (n,), float64, environment steps.
        values: Shape (n,), float64; NaN and Inf as they were logged.
        times: Shape (n,), float64, unix seconds.
        n_raw: Points before thinning.
    """

    key: str
    steps: FloatArray
    values: FloatArray
    times: FloatArray
    n_raw: int

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
    """

    series: dict[str, Series] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    cursor: int = 0
    malformed: int = 0


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


def visible_events(log: Path, until: int | None = None) -> Iterator[Event]:
    """Yield a log's events in order, without those that a later attempt superseded.

    Args:
        log: The run's log.
        until: Cursor to stop at, None for the present end.
    """
    attempts = [
        (index, event["from_step"])
        for index, event in enumerate(_events_until(log, until))
        if event["type"] == "attempt"
    ]
    for index, event in enumerate(_events_until(log, until)):
        later = (from_step for number, from_step in attempts if number > index)
        is_point = event["type"] in POINT_TYPES
        if not is_point or event["step"] <= min(later, default=event["step"]):
            yield event


def _events_until(log: Path, until: int | None) -> Iterator[Event]:
    after = 0
    for piece in read_all(log):
        if until is not None and piece.cursor > until:
            if until > after:
                yield from tail(log, after, until - after).events
            return
        yield from piece.events
        after = piece.cursor


def series(
    log: Path,
    keys: list[str] | None = None,
    max_points: int = 1500,
    from_step: int = 0,
    to_step: int | None = None,
    ancestors: Sequence[tuple[Path, int]] = (),
) -> SeriesSet:
    """Read the curves of a run, thinned for a chart.

    Args:
        log: The run's log.
        keys: Metric keys wanted; None means all.
        max_points: About how many points of each curve to return.
        from_step: First step wanted.
        to_step: Last step wanted, None for the end.
        ancestors: Logs of the runs that this one went on from, oldest first, each with the step at
            which the next one left it; their points come first.
    """
    points: Points = {}
    found = SeriesSet()
    for ancestor, last_step in ancestors:
        _gather(ancestor, points, SeriesSet())
        _drop_after(points, last_step)
    _gather(log, points, found)
    found.keys = sorted(points)
    for key in found.keys if keys is None else keys:
        table = np.array(points.get(key, []), dtype=np.float64).reshape(-1, 3)
        is_wanted = table[:, 0] >= from_step
        if to_step is not None:
            is_wanted &= table[:, 0] <= to_step
        table = table[is_wanted]
        if len(table):
            table = table[np.argsort(table[:, 0], kind="stable")]
            chosen = table[thin(table[:, 0], table[:, 1], max_points)]
            found.series[key] = Series(key, chosen[:, 0], chosen[:, 1], chosen[:, 2], len(table))
    return found


def _gather(log: Path, points: Points, found: SeriesSet) -> None:
    for piece in read_all(log):
        found.cursor = piece.cursor
        found.malformed += piece.malformed
        for event in piece.events:
            if event["type"] == "attempt":
                _drop_after(points, event["from_step"])
            for key, value in _values_of(event):
                points.setdefault(key, []).append((event["step"], value, event["t"]))


def latest(log: Path) -> dict[str, float]:
    """Return the last value of every metric key."""
    return {key: float(one.values[-1]) for key, one in series(log).series.items()}


def last_lines(path: Path, count: int, max_bytes: int = 1 << 20) -> list[str]:
    """Return the last lines of a text file, undecodable bytes replaced; none when it is missing.

    Only a newline ends a line: JSON may hold the other characters that `splitlines` splits at.
    """
    try:
        with path.open("rb") as file:
            start = max(0, file.seek(0, os.SEEK_END) - max_bytes)
            file.seek(start)
            data = file.read()
    except FileNotFoundError:
        return []
    if start:  # The read most likely began within a line.
        data = data.partition(b"\n")[2] or data
    lines = data.removesuffix(b"\n").split(b"\n") if data else []
    return [line.decode(errors="replace") for line in lines[-count:]] if count > 0 else []


def _values_of(event: Event) -> Iterator[tuple[str, float]]:
    if event["type"] == "metrics":
        for key in event["values"]:
            value = value_of(event, key)
            if value is not None:
                yield key, value
    elif event["type"] == "episode":
        yield EPISODE_RETURN, return_of(event)
        yield EPISODE_LENGTH, float(event["length"])
    elif event["type"] == "evaluation" and isinstance(event.get("return_mean"), int | float):
        yield "eval/mean_reward", float(event["return_mean"])


def _drop_after(points: Points, step: int) -> None:
    for key, rows in points.items():
        points[key] = [row for row in rows if row[0] <= step]
