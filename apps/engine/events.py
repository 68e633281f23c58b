"""The typed lines of a run's log: how each is made, encoded and decoded.

One JSON object a line, with `type`, `t` (unix seconds) and `step`. NaN and Inf are kept: the value
becomes null and its name goes to `special`. Readers skip what they cannot decode; nothing here
touches a file.
"""

import math
import time
from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np
import orjson

EventType = Literal[
    "metrics", "episode", "checkpoint", "evaluation", "film", "finding", "status", "attempt"
]
EVENT_TYPES: frozenset[str] = frozenset(get_args(EventType))

Event = dict[str, Any]

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


class MalformedLine(ValueError):
    """A line of a log that is not an event."""


def _event(kind: EventType, step: int, **fields: Any) -> Event:
    return {"type": kind, "t": time.time(), "step": int(step), **fields}


def metrics(step: int, values: Mapping[str, float]) -> Event:
    """Make a `metrics` event; numbers may be NumPy scalars, NaN and Inf are kept."""
    finite: dict[str, float | int | None] = {}
    special: dict[str, str] = {}
    for key, value in values.items():
        number = value.item() if isinstance(value, np.generic) else value
        if isinstance(number, float) and not math.isfinite(number):
            finite[key] = None
            special[key] = "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"
        else:
            finite[key] = number
    event = _event("metrics", step, values=finite)
    if special:
        event["special"] = special
    return event


def episode(step: int, episode_return: float, length: int, env: int) -> Event:
    """Make an `episode` event: a training episode of parallel environment number `env` ended."""
    return _event("episode", step, **{"return": float(episode_return)}, length=int(length), env=env)


def checkpoint(step: int, size_bytes: int, is_best: bool, should_evaluate: bool) -> Event:
    """Make a `checkpoint` event; `should_evaluate` asks whoever watches for an evaluation."""
    return _event(
        "checkpoint", step, size_bytes=size_bytes, best=is_best, evaluate=should_evaluate
    )


def evaluation(step: int, summary: Mapping[str, Any]) -> Event:
    """Make an `evaluation` event from the summary that its result file holds."""
    return _event("evaluation", step, **summary)


def film(step: int, name: str, **fields: Any) -> Event:
    """Make a `film` event; `name` is the file's path inside the run directory."""
    return _event("film", step, name=name, **fields)


def status(step: int, status: str, reason: str = "") -> Event:
    """Make a `status` event."""
    return _event("status", step, status=status, **({"reason": reason} if reason else {}))


def attempt(step: int, attempt: int, fidelity: str) -> Event:
    """Make an `attempt` event: points after `step` from earlier attempts are superseded."""
    return _event("attempt", step, attempt=attempt, from_step=step, fidelity=fidelity)


def encode(event: Event) -> bytes:
    """Encode an event as one line, newline included."""
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


def decode(line: bytes) -> Event:
    """Decode one line of a log.

    Raises:
        MalformedLine: The line is not JSON, not an object, or lacks a valid type, time or step.
    """
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise MalformedLine(str(error)) from error
    if not isinstance(event, dict) or event.get("type") not in EVENT_TYPES:
        raise MalformedLine("not an object with a known type")
    if type(event.get("step")) is not int or not isinstance(event.get("t"), int | float):
        raise MalformedLine("step is not an integer or t is not a number")
    if event["type"] == "metrics" and not isinstance(event.get("values"), dict):
        raise MalformedLine("metrics without values")
    return event


def value_of(event: Event, key: str) -> float | None:
    """Return a metric's value from a `metrics` event, NaN and Inf restored; None when absent."""
    if key not in event["values"]:
        return None
    value = event["values"][key]
    if value is None:
        special: dict[str, str] = event.get("special", {})
        return _SPECIAL.get(special.get(key, "nan"), math.nan)
    return float(value)
