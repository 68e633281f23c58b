"""The typed lines of a run's log: how each is made, encoded and decoded.

One JSON object a line, with `type`, `t` (unix seconds) and `step`. NaN and Inf are kept: the value
becomes null and its name goes to `special`. Readers skip what they cannot decode; nothing here
touches a file.
"""

import math
import time
from collections.abc import Mapping
from math import isfinite
from typing import Any, Literal, get_args

import numpy as np
import orjson
from numpy.typing import NDArray

EventType = Literal[
    "metrics", "episode", "checkpoint", "evaluation", "film", "finding", "status", "attempt"
]
EVENT_TYPES: frozenset[str] = frozenset(get_args(EventType))

Event = dict[str, Any]
# Of many events: their types, steps and times.
Heads = tuple[list[str], NDArray[np.float64], NDArray[np.float64]]

# Beyond it, floating point cannot tell one step from the next.
MAX_STEP = 2**53
# Beyond it, an integer is written as the nearest floating point number.
MAX_INTEGER = 2**63 - 1
# Types whose numbers are encoded to the last bit, if they are finite and not too large.
PLAIN_NUMBERS: frozenset[type] = frozenset({float, int, np.float64})

_SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}


# What readers rely on, by type of event; a number may be null (NaN or Inf, named in `special`).
_REQUIRED: dict[str, dict[str, tuple[type, ...]]] = {
    "metrics": {"values": (dict,)},
    "episode": {"return": (int, float, type(None)), "length": (int, float)},
    "status": {"status": (str,)},
    "attempt": {"from_step": (int,)},
}


class MalformedLine(ValueError):
    """A line of a log that is not an event."""


def _event(kind: EventType, step: int, **fields: Any) -> Event:
    return {"type": kind, "t": time.time(), "step": int(step), **fields}


def metrics(step: int, values: Mapping[str, float]) -> Event:
    """Make a `metrics` event; numbers may be NumPy scalars, NaN and Inf are kept."""
    if _can_be_written_as_they_are(values):
        return _event("metrics", step, values=dict(values))
    finite, special = flag_special(values)
    return _event("metrics", step, values=finite, **special)


def _can_be_written_as_they_are(values: Mapping[str, float]) -> bool:
    # All at once: a training logs a dozen, and looked at one by one they take twice as long.
    numbers = values.values()
    kinds = set(map(type, numbers))
    try:
        return (
            kinds <= PLAIN_NUMBERS
            and isfinite(math.fsum(numbers))
            and (int not in kinds or -MAX_INTEGER <= min(numbers) <= max(numbers) <= MAX_INTEGER)
        )
    except (OverflowError, ValueError):  # Too large a number or sum, or Inf and its opposite.
        return False


def flag_special(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, dict[str, str]]]:
    """Return values that JSON can say, and what of them is not finite: null, named in `special`.

    The second is empty where all are finite, to be joined with the first.
    """
    finite: dict[str, Any] = {}
    special: dict[str, str] = {}
    for key, value in values.items():
        number = value.item() if isinstance(value, np.generic) else value
        if isinstance(number, int) and abs(number) > MAX_INTEGER:
            number = _nearest_float(number)
        if isinstance(number, float) and not isfinite(number):
            finite[key] = None
            special[key] = "nan" if math.isnan(number) else "inf" if number > 0 else "-inf"
        else:
            finite[key] = number
    return finite, {"special": special} if special else {}


def _nearest_float(number: int) -> float:
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf


def episode(step: int, episode_return: float, length: int, env: int) -> Event:
    """Make an `episode` event: a training episode of parallel environment number `env` ended."""
    finite, special = flag_special({"return": float(episode_return)})
    return _event("episode", step, **finite, length=int(length), env=env, **special)


def checkpoint(
    step: int, size_bytes: int, is_best: bool, should_evaluate: bool, sha256: str = ""
) -> Event:
    """Make a `checkpoint` event.

    Args:
        step: Step of the checkpoint.
        size_bytes: Size of its files.
        is_best: Whether no earlier one had a better mean training return.
        should_evaluate: Whether whoever watches is asked for an evaluation.
        sha256: Hash of its manifest, which holds those of its files.
    """
    return _event(
        "checkpoint",
        step,
        size_bytes=size_bytes,
        best=is_best,
        evaluate=should_evaluate,
        sha256=sha256,
    )


def evaluation(step: int, summary: Mapping[str, Any]) -> Event:
    """Make an `evaluation` event from the summary that its result file holds."""
    finite, special = flag_special(summary)
    return _event("evaluation", step, **finite, **special)


def film(step: int, name: str, **fields: Any) -> Event:
    """Make a `film` event; `name` is the file's path inside the run directory."""
    return _event("film", step, name=name, **fields)


def status(step: int, status: str, reason: str = "", error: str = "") -> Event:
    """Make a `status` event; `error` is the traceback of what ended an outside script."""
    said = {"reason": reason, "error": error}
    return _event("status", step, status=status, **{k: v for k, v in said.items() if v})


def attempt(
    step: int, attempt: int, fidelity: str, notes: Mapping[str, str] | None = None
) -> Event:
    """Make an `attempt` event: points after `step` from earlier attempts are superseded.

    Args:
        step: Step that the attempt goes on from.
        attempt: Its number, the first being 1.
        fidelity: `exact`, `warm`, `weights-only` or `fresh`.
        notes: What could not be brought back, each with its reason.
    """
    return _event(
        "attempt",
        step,
        attempt=attempt,
        from_step=step,
        fidelity=fidelity,
        notes=dict(notes or {}),
    )


def encode(event: Event) -> bytes:
    """Encode an event as one line, newline included."""
    return orjson.dumps(event, option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY)


def decode(line: bytes) -> Event:
    """Decode one line of a log.

    Raises:
        MalformedLine: The line is not JSON, or no event.
    """
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise MalformedLine(str(error)) from error
    return checked(event)


def checked(event: Any) -> Event:
    """Return what a line held when it is an event.

    Raises:
        MalformedLine: It is not an object, lacks a valid type, time or step, or one of the fields
            that its type cannot do without.
    """
    if not isinstance(event, dict):
        raise MalformedLine("not an object")
    kind = event.get("type")
    if not isinstance(kind, str) or kind not in EVENT_TYPES:
        raise MalformedLine("not of a known type")
    if type(event.get("step")) is not int or not isinstance(event.get("t"), int | float):
        raise MalformedLine("step is not an integer or t is not a number")
    if abs(event["step"]) > MAX_STEP:
        raise MalformedLine("step is beyond 2^53")
    for name, types in _REQUIRED.get(kind, {}).items():
        if name not in event or not isinstance(event[name], types):
            raise MalformedLine(f"{kind} without a valid {name}")
    return event


def heads(values: list[Any]) -> Heads | None:
    """Return types, steps and times of many events; None unless each value is one.

    It takes a third of the time of as many calls of `checked`, which finds out whose fault it is.
    """
    try:
        types = [value["type"] for value in values]
        steps = [value["step"] for value in values]
        times = [value["t"] for value in values]
        if not (_are_heads(types, steps, times) and _have_what_is_required(values, types)):
            return None
    except (KeyError, TypeError):
        return None
    return (
        types,
        np.fromiter(steps, np.float64, len(steps)),
        np.fromiter(times, np.float64, len(times)),
    )


def _are_heads(types: list[Any], steps: list[Any], times: list[Any]) -> bool:
    return (
        set(types) <= EVENT_TYPES
        and set(map(type, steps)) <= {int}
        and _are(times, (int, float))
        # Of whole numbers: the one after the greatest is the greatest as floating point.
        and (not steps or -MAX_STEP <= min(steps) <= max(steps) <= MAX_STEP)
    )


def _have_what_is_required(values: list[Any], types: list[str]) -> bool:
    kinds = set(types)
    for kind in kinds & _REQUIRED.keys():
        of_kind = values if len(kinds) == 1 else [v for v in values if v["type"] == kind]
        for name, allowed in _REQUIRED[kind].items():
            if not _are([value[name] for value in of_kind], allowed):
                return False
    return True


def _are(values: list[Any], allowed: tuple[type, ...]) -> bool:
    return all(issubclass(kind, allowed) for kind in set(map(type, values)))


def value_of(event: Event, key: str) -> float | None:
    """Return a metric's value from a `metrics` event, NaN and Inf restored.

    None when it is absent or, in a log that somebody else wrote, not a number.
    """
    return _restored(event, event["values"], key)


def return_of(event: Event) -> float:
    """Return the return of an `episode` event, NaN and Inf restored."""
    episode_return = _restored(event, event, "return")
    assert episode_return is not None  # `decode` let it pass.
    return episode_return


def _restored(event: Event, values: Mapping[str, Any], key: str) -> float | None:
    value = values.get(key)
    if isinstance(value, int | float):
        return float(value)
    if value is not None or key not in values:
        return None
    special = event.get("special")
    name = special.get(key) if isinstance(special, dict) else None
    return _SPECIAL.get(str(name), math.nan)
