"""Logs made by hand or by chance, and a reader so simple that it can be trusted."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson
from hypothesis import strategies as st

from apps.metrics.columns import LogColumns
from apps.metrics.stretch import STEPS
from apps.rundir.events import MalformedLine, decode, return_of, value_of

# By key: step, value, unix seconds of each point in the order they were logged.
Found = dict[str, list[tuple[float, str, float]]]


def point(step: int, t: float = 0.0, **values: Any) -> dict[str, Any]:
    """A metrics line as the contract writes it; `a__b` is the key `a/b`."""
    named = {key.replace("__", "/"): value for key, value in values.items()}
    return {"type": "metrics", "t": t, "step": step, "values": named}


def episode(step: int, t: float = 0.0, episode_return: float | None = 1.0) -> dict[str, Any]:
    """An episode line."""
    return {
        "type": "episode",
        "t": t,
        "step": step,
        "return": episode_return,
        "length": 9,
        "env": 0,
    }


def attempt(number: int, from_step: int, t: float = 0.0) -> dict[str, Any]:
    """An attempt line."""
    return {
        "type": "attempt",
        "t": t,
        "step": from_step,
        "attempt": number,
        "from_step": from_step,
        "fidelity": "exact",
    }


def evaluation(step: int, t: float = 0.0, return_mean: Any = 5.0) -> dict[str, Any]:
    """An evaluation line."""
    return {"type": "evaluation", "t": t, "step": step, "return_mean": return_mean}


def joined(*lines: dict[str, Any] | bytes) -> bytes:
    """Lines as a log holds them, bytes as they are."""
    return b"".join(
        line if isinstance(line, bytes) else orjson.dumps(line) + b"\n" for line in lines
    )


def write(log: Path, *lines: dict[str, Any] | bytes) -> int:
    """Write lines and return the size of the log."""
    return log.write_bytes(joined(*lines))


def read_plainly(data: bytes) -> tuple[Found, list[tuple[int, float]], int]:
    """Return the points by key, the attempts (number of points before, step), the malformed."""
    found: Found = {}
    attempts: list[tuple[int, float]] = []
    rows = malformed = 0
    for line in data[: data.rfind(b"\n") + 1].split(b"\n")[:-1]:
        try:
            event = decode(line)
        except MalformedLine:
            malformed += 1
            continue
        values: dict[str, float | None] = {}
        is_row = event["type"] in {"metrics", "episode"}
        if event["type"] == "metrics":
            values = {key: value_of(event, key) for key in event["values"]}
        elif event["type"] == "episode":
            length = float(event["length"])
            values = {"episode/return": return_of(event), "episode/length": length}
        elif event["type"] == "evaluation" and isinstance(event.get("return_mean"), int | float):
            values, is_row = {"eval/mean_reward": float(event["return_mean"])}, True
        elif event["type"] == "attempt":
            attempts.append((rows, event["from_step"]))
        rows += is_row
        for key, value in values.items():
            if value is not None and key != STEPS:  # The one name that no metric may have.
                found.setdefault(key, []).append((event["step"], repr(value), float(event["t"])))
    return found, attempts, malformed


def read_columns(columns: LogColumns) -> tuple[Found, list[tuple[int, float]], int]:
    """Return the same from the columns of a log."""
    seen = columns.view(None)
    found: Found = {}
    for key in seen.keys:
        rows, values = seen.points[key]
        steps = seen.steps if rows is None else seen.steps[rows]
        times = seen.times if rows is None else seen.times[rows]
        shown = [repr(value) for value in values.tolist()]
        found[key] = list(zip(steps.tolist(), shown, times.tolist(), strict=True))
    return found, [(one.row, one.from_step) for one in seen.restarts], seen.malformed


numbers = (
    st.floats(-1e6, 1e6)
    | st.integers(-5, 2**64 - 1)
    | st.booleans()
    | st.sampled_from([None, "high", {}, 1e300])
)
steps = st.integers(0, 60) | st.sampled_from([-3, 2**53, 2**60])
values = st.dictionaries(st.sampled_from(["a", "b", "eval/mean_reward", STEPS]), numbers)
points = st.builds(
    lambda step, t, held, special: {
        "type": "metrics",
        "t": t,
        "step": step,
        "values": held,
        "special": special,
    },
    steps,
    st.floats(0, 100),
    values,
    st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from(["nan", "inf", "-inf", "?"])),
)
BROKEN: Sequence[bytes] = (
    b"\n",
    b"not json\n",
    b"\xff\xfe\n",
    b"[]\n",
    b"{}\n",
    b"\x00\x00\x00\x00\n",
    b"3\n",
    b'{"type":"metrics","t":1,"step":1,"values":{"a":1}\n',
    b'"b":2}}\n',
    b'{"type":"metrics","t":1,"step":1,\n"values":{"a":1}}\n',
    b'{"type":"metrics","t":1,"step":3,"values":{"a":7}},{"type":"film","t":1,"step":1}\n',
    b'{"type":"film","t":1,"step":1,"name":"\n',
    b'{"}\n',
    b'{"x":[{"a":1}\n',
    b'{"b":1}]}\n',
    b'{"type":"metrics","t":NaN,"step":1,"values":{"a":1}}\n',
    b'{"type":"metrics","t":true,"step":1,"values":{"a":1}}\n',
    b'{"type":"metrics","t":1,"step":true,"values":{"a":1}}\n',
    b'{"type":"episode","t":1,"step":1,"return":"x","length":1}\n',
    b' {"type":"metrics","t":1,"step":1,"values":{"a":1}} \r\n',
)
lines = (
    points
    | st.builds(episode, steps, st.floats(0, 100), st.floats(-9, 9) | st.none())
    | st.builds(evaluation, steps, st.floats(0, 100), st.sampled_from([1.5, None, "x"]))
    | st.builds(attempt, st.integers(1, 3), st.integers(0, 60), st.floats(0, 100))
    | st.just({"type": "checkpoint", "t": 1.0, "step": 3, "notes": [1, {"a": 2}]})
    | st.sampled_from(BROKEN)
)
# Mostly without damage, so that the fast way through is taken too.
logs = st.lists(points, min_size=1, max_size=8) | st.lists(lines, max_size=12)
