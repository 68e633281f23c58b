"""What an outside script sends of its run: rows, checked one by one and made into events.

A row is taken whole or refused whole, with a reason that names its field, value and what is
allowed; one that is refused stops no other. Plain code over what a JSON parser gives: a batch
holds thousands of rows, and a parser never gives NaN or Inf.
"""

import math
import re
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from apps.errors import FieldError, InvalidSpec
from apps.rundir.events import Event
from apps.spec.fields import MAX_SEED
from apps.spec.logged import MAX_STEP
from apps.text.whole_numbers import whole_number
from apps.words import shown

MAX_ROWS = 5_000
MAX_VALUES = 1_000
MAX_KEYS = 5_000
MAX_KEY_LENGTH = 200
MAX_EPISODES = 1_000
MAX_AHEAD_S = 86_400.0
WRITER = re.compile(r"[A-Za-z0-9_-]{1,32}", re.ASCII)
SPECIAL = ("nan", "inf", "-inf")
EPISODE_KEYS = ("episode/return", "episode/length")

NUMBER = 'it must be a number, "nan", "inf" or "-inf"'
TIME = "it must be unix seconds, at most a day ahead of this server's clock"
KEY = (
    f"a metric key must have 1 to {MAX_KEY_LENGTH} characters, no comma, no line break and no "
    "space at either end"
)


@dataclass(frozen=True, slots=True)
class RowError(FieldError):
    """One refused row of a batch.

    Attributes:
        row: Its place in the batch, the first being 0.
    """

    row: int


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows as they came, and how to tell whether they came before.

    Attributes:
        rows: The rows, unchecked.
        writer: Who sends them, empty when nobody says; each process of a script is one.
        seq: Number of the first row among all that the writer sends, the next ones add one; 0
            without a writer: such rows cannot be told from ones that came before.
    """

    rows: list[Any]
    writer: str = ""
    seq: int = 0


class _Refusal(Exception):
    """A field of a row is wrong."""

    def __init__(self, field: str, value: Any, allowed: str) -> None:
        super().__init__(f"{shown(value)} is not allowed; {allowed}")
        self.field = field


def read_batch(data: Any) -> Batch:
    """Check what all rows of a batch have in common.

    Args:
        data: What a JSON parser made of the request: `{"rows": […], "writer": "…", "seq": 1}`.

    Raises:
        InvalidSpec: Nothing of the batch can be taken; lists every refused field.
    """
    if not isinstance(data, dict):
        raise InvalidSpec([FieldError("batch", f"{shown(data)} is not an object with rows")])
    allowed = ("rows", "writer", "seq")
    errors = [
        FieldError(name, f"unknown; allowed: {', '.join(allowed)}")
        for name in data
        if name not in allowed
    ]
    rows, writer, seq = data.get("rows"), data.get("writer", ""), data.get("seq", 0)
    if not isinstance(rows, list) or len(rows) > MAX_ROWS:
        said = f"{len(rows)} rows are" if isinstance(rows, list) else f"{shown(rows)} is"
        errors.append(
            FieldError("rows", f"{said} not allowed; it must be a list of at most {MAX_ROWS}")
        )
    if not isinstance(writer, str) or (writer and not WRITER.fullmatch(writer)):
        rule = "it must have 1 to 32 letters, digits, - or _"
        errors.append(FieldError("writer", f"{shown(writer)} is not allowed; {rule}"))
    is_numbered = type(seq) is int and 1 <= seq <= MAX_STEP
    if bool(writer) != ("seq" in data) or ("seq" in data and not is_numbered):
        rule = f"with a writer it must be a whole number from 1 to {MAX_STEP}, else left out"
        errors.append(FieldError("seq", f"{shown(data.get('seq'))} is not allowed; {rule}"))
    if errors:
        raise InvalidSpec(errors)
    return Batch(data["rows"], writer, seq)


def read_rows(
    batch: Batch, known_keys: Collection[str], now: float
) -> tuple[list[Event | None], list[RowError]]:
    """Make the rows of a batch into events.

    Args:
        batch: The batch.
        known_keys: Metric keys that were checked before.
        now: Unix seconds, the time of rows that name none.

    Returns:
        An event for each row, None for one that is refused; and the reasons.
    """
    taken: list[Event | None] = []
    errors: list[RowError] = []
    mark = {"writer": batch.writer} if batch.writer else {}
    for index, row in enumerate(batch.rows):
        try:
            event = _event(row, known_keys, now)
        except _Refusal as refusal:
            taken.append(None)
            errors.append(RowError(refusal.field, str(refusal), index))
            continue
        if mark:
            event.update(mark, seq=batch.seq + index)
        if event["type"] == "evaluation":
            event["name"] = _name_of(event)
        taken.append(event)
    return taken, errors


def _event(row: Any, known_keys: Collection[str], now: float) -> Event:
    if not isinstance(row, dict):
        raise _Refusal("", row, "a row must be an object")
    kind = row.get("type", "metrics")
    if not isinstance(kind, str) or kind not in _READERS:
        raise _Refusal("type", kind, f"allowed: {', '.join(_READERS)}")
    fields, read = _READERS[kind]
    if not row.keys() <= fields:
        name = min(map(str, row.keys() - fields))
        raise _Refusal(name, row[name], f"this field is unknown; allowed: {_listed(fields)}")
    step, t = row.get("step"), row.get("t", now)
    if type(step) is not int or not 0 <= step <= MAX_STEP:
        step = _whole(row, "step", MAX_STEP)
    if type(t) not in (int, float) or not 0 <= t <= now + MAX_AHEAD_S:
        raise _Refusal("t", t, TIME)
    return {"type": kind, "t": t, "step": step, **read(row, known_keys)}


def _name_of(evaluation: Event) -> str:
    """Return a name that an evaluation keeps when it comes again."""
    if "writer" in evaluation:
        return f"eval_{evaluation['writer']}_{evaluation['seq']}"
    return f"eval_{secrets.token_hex(8)}"


def _listed(fields: Collection[str]) -> str:
    return ", ".join(sorted(fields))


def _read_metrics(row: Mapping[str, Any], known_keys: Collection[str]) -> Event:
    values, special = row.get("values"), row.get("special", {})
    if not isinstance(values, dict) or not 1 <= len(values) <= MAX_VALUES:
        raise _Refusal("values", values, f"it must be an object of 1 to {MAX_VALUES} metrics")
    for key in values:
        if key not in known_keys:
            _check_key(key)
    # Most rows hold plain numbers, which a JSON parser makes finite ones of.
    if set(map(type, values.values())) <= {int, float} and not special:
        return {"values": values}
    return _with_special(values, special)


def _check_key(key: str) -> None:
    if not 1 <= len(key) <= MAX_KEY_LENGTH or "," in key or not key.isprintable():
        raise _Refusal("values", key, KEY)
    if key != key.strip():
        raise _Refusal("values", key, KEY)
    if key in EPISODE_KEYS:
        raise _Refusal("values", key, "an episode is a row of its own, of type episode")


def _with_special(values: Mapping[str, Any], special: Any) -> Event:
    if not isinstance(special, dict):
        raise _Refusal(
            "special", special, "it must be an object that names what a null stands for"
        )
    for key, name in special.items():
        if name not in SPECIAL or values.get(key, 0) is not None:
            allowed = 'it must say of a value that is null: "nan", "inf" or "-inf"'
            raise _Refusal(f"special.{key}", name, allowed)
    finite: dict[str, Any] = {}
    named: dict[str, str] = {}
    for key, value in values.items():
        finite[key], name = _number(
            f"values.{key}", special.get(key, "nan") if value is None else value
        )
        if name:
            named[key] = name
    return {"values": finite, **({"special": named} if named else {})}


def _number(field: str, value: Any) -> tuple[float | None, str]:
    """Return a number, or None and the name of what is none."""
    if type(value) in (int, float):
        return value, ""
    if isinstance(value, str) and value in SPECIAL:
        return None, value
    raise _Refusal(field, value, NUMBER)


def _read_episode(row: Mapping[str, Any], known_keys: Collection[str]) -> Event:
    value = row.get("return", ...)
    episode_return, name = _number("return", "nan" if value is None else value)
    event: Event = {"return": episode_return, "length": _whole(row, "length", MAX_STEP)}
    for field, greatest in (("env", MAX_STEP), ("seed", MAX_SEED)):
        if field in row:
            event[field] = _whole(row, field, greatest)
    return {**event, **({"special": {"return": name}} if name else {})}


def _whole(row: Mapping[str, Any], field: str, greatest: int) -> int:
    value = row.get(field)
    number = whole_number(value) if type(value) in (int, float) else None  # 5.0 is one, "5" none.
    if number is None or not 0 <= number <= greatest:
        raise _Refusal(field, value, f"it must be a whole number from 0 to {greatest}")
    return number


def _read_evaluation(row: Mapping[str, Any], known_keys: Collection[str]) -> Event:
    returns = _finite_list(row, "returns")
    lengths = _finite_list(row, "lengths") if "lengths" in row else []
    if lengths and len(lengths) != len(returns):
        raise _Refusal("lengths", lengths, f"there are {len(returns)} returns, one for each")
    event: Event = {
        "n_episodes": len(returns),
        "return_mean": float(np.mean(returns)),
        "return_std": float(np.std(returns)),
        "return_min": float(min(returns)),
        "return_max": float(max(returns)),
        "returns": returns,
    }
    if lengths:
        event |= {"length_mean": float(np.mean(lengths)), "lengths": lengths}
    if "seed" in row:
        event["seed"] = _whole(row, "seed", MAX_SEED)
    if "is_deterministic" in row:
        if not isinstance(row["is_deterministic"], bool):
            raise _Refusal("is_deterministic", row["is_deterministic"], "it must be true or false")
        event["is_deterministic"] = row["is_deterministic"]
    return event


def _finite_list(row: Mapping[str, Any], field: str) -> list[float]:
    values = row.get(field)
    allowed = f"it must be a list of 1 to {MAX_EPISODES} numbers"
    if not isinstance(values, list) or not 1 <= len(values) <= MAX_EPISODES:
        raise _Refusal(field, values, allowed)
    for index, value in enumerate(values):
        if type(value) not in (int, float):
            raise _Refusal(f"{field}.{index}", value, "it must be a finite number")
    # Finite numbers may have a sum that is not, and no mean.
    if not math.isfinite(sum(value * value for value in values)):
        raise _Refusal(field, values, "their squares must have a finite sum")
    return values


_COMMON = frozenset({"type", "step", "t"})
_READERS: dict[
    str, tuple[frozenset[str], Callable[[Mapping[str, Any], Collection[str]], Event]]
] = {
    "metrics": (_COMMON | {"values", "special"}, _read_metrics),
    "episode": (_COMMON | {"return", "length", "env", "seed"}, _read_episode),
    "evaluation": (
        _COMMON | {"returns", "lengths", "seed", "is_deterministic"},
        _read_evaluation,
    ),
}
