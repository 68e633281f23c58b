"""What a run is that an outside script logs: `LoggedSpec`, its way to JSON and back.

Nothing here trains, so names of algorithms and environments are free text, and what the script
did not say stays unknown.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import orjson

from apps.errors import FieldError, InvalidSpec
from apps.spec.fields import MAX_SEED
from apps.spec.schema import check_numbers
from apps.words import shown

KIND = "logged"
MAX_STEP = 2**53 - 1  # Beyond it, floating point cannot tell one step from the next.
MAX_LENGTHS = {"algorithm": 40, "environment": 200}
MAX_BYTES = 65_536
MAX_DEPTH = 20
LOGGED_BOUNDS: dict[str, tuple[int, int]] = {
    "seed": (0, MAX_SEED),
    "total_timesteps": (1, MAX_STEP),
}


@dataclass(frozen=True, slots=True)
class LoggedSpec:
    """What an outside script says of its run.

    Attributes:
        algorithm: What trains, in the script's words; empty when it does not say.
        environment: What it trains in, likewise.
        seed: Its seed, None when it does not say; a whole number `seed` of the config counts.
        total_timesteps: Steps that it means to do, None when it does not say.
        config: Whatever else it was called with.
    """

    algorithm: str = ""
    environment: str = ""
    seed: int | None = None
    total_timesteps: int | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as JSON-ready data; `from_dict` reads it back to an equal spec."""
        return {"kind": KIND, **asdict(self)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Validate data that came from JSON.

        Raises:
            InvalidSpec: Lists every refused field with its value and what is allowed.
        """
        names = [spec_field.name for spec_field in fields(cls)]
        given = {name: value for name, value in data.items() if name != "kind"}
        errors = [
            FieldError(str(name), f"unknown; allowed: {', '.join(names)}")
            for name in given
            if name not in names
        ]
        values = {name: given[name] for name in names if given.get(name) is not None}
        for name, length in MAX_LENGTHS.items():
            _check_text(values, name, length, errors)
        check_object("config", values.get("config", {}), errors)
        if not errors and "seed" not in values:
            _take_seed_of_config(values)
        check_numbers(values, LOGGED_BOUNDS, errors)
        if errors:
            raise InvalidSpec(errors)
        return cls(**values)


def is_logged(spec: Mapping[str, Any]) -> bool:
    """Whether a spec, as JSON-ready data, is that of a run which an outside script logs."""
    return spec.get("kind") == KIND


def _check_text(values: dict[str, Any], name: str, length: int, errors: list[FieldError]) -> None:
    value = values.get(name, "")
    if not isinstance(value, str) or len(value.strip()) > length or not value.isprintable():
        allowed = f"it must be text of at most {length} characters, in one line"
        errors.append(FieldError(name, f"{shown(value)} is not allowed; {allowed}"))
    else:
        values[name] = value.strip()


def check_object(name: str, value: Any, errors: list[FieldError]) -> None:
    """Note what is wrong with an object of anything, which came from JSON."""
    if not isinstance(value, dict):
        errors.append(FieldError(name, f"{shown(value)} is not an object"))
    elif _depth(value) > MAX_DEPTH:
        errors.append(FieldError(name, f"is nested more than {MAX_DEPTH} deep"))
    elif (size := len(orjson.dumps(value))) > MAX_BYTES:
        allowed = f"at most {MAX_BYTES} bytes are allowed"
        errors.append(FieldError(name, f"takes {size} bytes of JSON; {allowed}"))


def _depth(value: Any) -> int:
    """Return how deep a value is nested, level by level: recursion has a limit of its own."""
    depth, level = 0, [value]
    while level:
        depth += 1
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
    return depth


def _take_seed_of_config(values: dict[str, Any]) -> None:
    seed = values.get("config", {}).get("seed")
    if type(seed) is int and 0 <= seed <= MAX_SEED:
        values["seed"] = seed
