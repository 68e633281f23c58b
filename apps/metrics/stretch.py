"""A stretch of a log, whole lines of it, as columns.

Every line that makes points is a row: its step, its time, and a value of each metric that it
holds. A line that is no event is counted and skipped.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, compress
from typing import Any

import numpy as np
import orjson

from apps.analysis.axes import IntArray, Restart
from apps.analysis.curves import FloatArray
from apps.rundir.events import Event, Heads, MalformedLine, decode, heads, return_of, value_of

EPISODE_RETURN, EPISODE_LENGTH, EVALUATION = "episode/return", "episode/length", "eval/mean_reward"
# Where a log holds them by the million; lines of other types are told of one by one.
MANY = frozenset({"metrics", "episode"})
NUMBERS = frozenset({int, float, bool})
# Names that no writer gives to a metric, for the columns that every row has.
STEPS, TIMES = "\x00steps", "\x00times"
NO_ROWS: IntArray = np.empty(0, dtype=np.int64)

# The rows that hold a metric, increasing, and their values.
Points = tuple[IntArray, FloatArray]
# The same, where None stands for all rows there are.
Held = tuple[IntArray | None, FloatArray]


@dataclass(slots=True)
class Stretch:
    """What a stretch of a log holds. Rows are numbered from the first of the stretch.

    Attributes:
        start: Byte at which it begins.
        end: Byte after its last line.
        n_rows: Lines that made points.
        columns: By metric key, and for `STEPS` and `TIMES`, which every row has.
        restarts: Attempts that begin in it.
        moments: Bytes of the lines that are neither metrics nor episodes.
        evaluations: Rows that evaluations wrote, which are no part of training.
        malformed: Lines that are no events.
    """

    start: int
    end: int
    n_rows: int = 0
    columns: dict[str, Held] = field(default_factory=dict)
    restarts: list[Restart] = field(default_factory=list)
    moments: list[tuple[int, int]] = field(default_factory=list)
    evaluations: IntArray = field(default_factory=NO_ROWS.copy)
    malformed: int = 0

    @property
    def nbytes(self) -> int:
        """Memory that it takes."""
        arrays = (array for column in self.columns.values() for array in column)
        return sum(array.nbytes for array in arrays if array is not None)

    def count(self, key: str) -> int:
        """Return how many values a column has."""
        return len(self.columns[key][1]) if key in self.columns else 0

    def read(self, key: str, values: FloatArray, rows: IntArray | None, fd: int = -1) -> None:
        """Copy a column's values and, where they are wanted, their rows."""
        values[:] = self.columns[key][1]
        if rows is not None:
            rows[:] = self.rows(key)

    def rows(self, key: str) -> IntArray:
        """Return the rows that have a value in a column."""
        rows = self.columns[key][0]
        return np.arange(self.n_rows) if rows is None else rows


def parse(data: bytes, start: int) -> Stretch:
    """Parse whole lines of a log.

    Args:
        data: Lines with their newlines.
        start: Byte of the log at which they begin.
    """
    found = _parsed_at_once(data)
    told = None if found is None else heads(found)
    if found is not None and told is not None:
        return _columns(data, start, found, range(len(found)), told)
    each = [_event_or_none(line) for line in data[:-1].split(b"\n")]
    lines = [number for number, event in enumerate(each) if event is not None]
    events = [event for event in each if event is not None]
    told = heads(events)
    assert told is not None  # `decode` let them pass one by one.
    stretch = _columns(data, start, events, lines, told)
    stretch.malformed = len(each) - len(events)
    return stretch


def _event_or_none(line: bytes) -> Event | None:
    try:
        return decode(line)
    except MalformedLine:
        return None


def _parsed_at_once(data: bytes) -> list[Any] | None:
    """Parse lines as one JSON array, in two thirds of the time; None unless each is one value.

    A comma goes before each line, and each must begin with a brace. Then it stands between two
    values of the outer array or nowhere: not in a string, as the newline before it may not; not in
    an object, where a key would have to follow it; not in another array when there is no other
    bracket. As many values as lines then mean that each line is one.
    """
    characters = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    begins = np.concatenate(([0], ends[:-1] + 1))
    if b"[" in data or (characters[begins] != ord("{")).any():
        return None
    try:
        events = orjson.loads(b"[%b]" % data[:-1].replace(b"\n", b"\n,"))
    except orjson.JSONDecodeError:
        return None
    return events if len(events) == len(ends) else None


def _columns(
    data: bytes, start: int, events: list[Event], lines: Sequence[int], told: Heads
) -> Stretch:
    stretch = Stretch(start, start + len(data))
    types, steps, times = told
    kinds = set(types)
    if not kinds <= MANY:
        _tell_moments(stretch, data, events, lines)
        makes_row = [event["type"] in MANY or _is_result(event) for event in events]
        steps, times = steps[makes_row], times[makes_row]
        events = list(compress(events, makes_row))
        types = [event["type"] for event in events]
        kinds = set(types)
    stretch.n_rows = len(events)
    every_row = np.arange(stretch.n_rows)
    found: dict[str, Points] = {}
    for kind in sorted(kinds):
        rows, of_kind = every_row, events
        if len(kinds) > 1:
            rows = np.array([row for row, name in enumerate(types) if name == kind])
            of_kind = [events[row] for row in rows.tolist()]
        for key, points in POINTS_OF[kind](of_kind, rows).items():
            found[key] = _merged(found[key], points) if key in found else points
        if kind == "evaluation":
            stretch.evaluations = rows
    # Last: should a metric have such a name, it is the one that is left out.
    found |= {STEPS: (every_row, steps), TIMES: (every_row, times)}
    stretch.columns = {
        key: (None if len(values) == stretch.n_rows else rows, values)
        for key, (rows, values) in found.items()
    }
    return stretch


def _is_result(event: Event) -> bool:
    return event["type"] == "evaluation" and isinstance(event.get("return_mean"), int | float)


def _points_of_metrics(events: list[Event], rows: IntArray) -> dict[str, Points]:
    of_events = [event["values"] for event in events]
    if (columns := _same_keys(of_events)) is not None:
        return {key: (rows, values) for key, values in columns.items()}
    keys = list(chain.from_iterable(of_events))
    values = list(chain.from_iterable(map(dict.values, of_events)))
    owners = np.repeat(np.arange(len(events)), list(map(len, of_events)))
    if not set(map(type, values)) <= NUMBERS:
        # NaN and Inf lie beside the values; what is no number is no point.
        for place, value in enumerate(values):
            if type(value) not in NUMBERS:
                values[place] = value_of(events[owners[place]], keys[place])
        kept = [place for place, value in enumerate(values) if value is not None]
        keys, values = [keys[place] for place in kept], [values[place] for place in kept]
        owners = owners[kept]
    return _by_key(keys, rows[owners], np.fromiter(values, np.float64, len(values)))


def _same_keys(of_events: list[dict[str, Any]]) -> dict[str, FloatArray] | None:
    """Return columns where every event has the same keys and numbers only, None elsewhere."""
    first, count = of_events[0], len(of_events)
    if set(map(len, of_events)) != {len(first)}:
        return None
    columns = {}
    for key in first:
        try:
            values = [values[key] for values in of_events]
        except KeyError:
            return None
        if not set(map(type, values)) <= NUMBERS:
            return None
        columns[key] = np.fromiter(values, np.float64, count)
    return columns


def _by_key(keys: list[str], rows: IntArray, values: FloatArray) -> dict[str, Points]:
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    if len(numbers) == 1:
        return {keys[0]: (rows, values)}
    # Sixteen bits where they do: those are sorted in linear time.
    width = np.int16 if len(numbers) < 1 << 15 else np.int32
    number_of = np.fromiter(map(numbers.__getitem__, keys), width, len(keys))
    order = np.argsort(number_of, kind="stable")
    rows, values = rows[order], values[order]
    ends = np.cumsum(np.bincount(number_of, minlength=len(numbers))).tolist()
    bounds = zip(numbers, [0, *ends], ends, strict=False)
    return {key: (rows[start:end], values[start:end]) for key, start, end in bounds}


def _points_of_episodes(events: list[Event], rows: IntArray) -> dict[str, Points]:
    returns = [event["return"] for event in events]
    if None in returns:
        returns = [return_of(event) for event in events]
    lengths = [event["length"] for event in events]
    return {
        EPISODE_RETURN: (rows, np.array(returns, dtype=np.float64)),
        EPISODE_LENGTH: (rows, np.array(lengths, dtype=np.float64)),
    }


def _points_of_evaluations(events: list[Event], rows: IntArray) -> dict[str, Points]:
    means = [event["return_mean"] for event in events]
    return {EVALUATION: (rows, np.array(means, dtype=np.float64))}


POINTS_OF = {
    "metrics": _points_of_metrics,
    "episode": _points_of_episodes,
    "evaluation": _points_of_evaluations,
}


def _merged(one: Points, other: Points) -> Points:
    rows = np.concatenate((one[0], other[0]))
    order = np.argsort(rows, kind="stable")
    return rows[order], np.concatenate((one[1], other[1]))[order]


def _tell_moments(
    stretch: Stretch, data: bytes, events: list[Event], lines: Sequence[int]
) -> None:
    """Note where the lines of other types lie, and the attempts that begin among them."""
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1 + stretch.start
    starts = [stretch.start, *ends.tolist()]
    row = 0
    for line, event in zip(lines, events, strict=True):
        if event["type"] not in MANY:
            stretch.moments.append((starts[line], starts[line + 1]))
        if event["type"] == "attempt":
            number = event.get("attempt")
            number = number if isinstance(number, int) else 0
            stretch.restarts.append(Restart(row, event["from_step"], event["t"], number))
        row += event["type"] in MANY or _is_result(event)


def joined(stretches: Sequence[Stretch]) -> Stretch:
    """Return several stretches that follow one another as one."""
    whole = Stretch(stretches[0].start, stretches[-1].end)
    pieces: dict[str, list[tuple[int, Stretch]]] = {}
    for stretch in stretches:
        for key in stretch.columns:
            pieces.setdefault(key, []).append((whole.n_rows, stretch))
        whole.restarts += [replace(one, row=one.row + whole.n_rows) for one in stretch.restarts]
        whole.moments += stretch.moments
        whole.evaluations = np.append(whole.evaluations, stretch.evaluations + whole.n_rows)
        whole.malformed += stretch.malformed
        whole.n_rows += stretch.n_rows
    for key, found in pieces.items():
        values = np.concatenate([stretch.columns[key][1] for _, stretch in found])
        rows = None
        if len(values) < whole.n_rows:
            rows = np.concatenate([stretch.rows(key) + first for first, stretch in found])
        whole.columns[key] = rows, values
    return whole
