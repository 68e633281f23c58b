"""The fields of a spec, and what is wrong with a value of one."""

from collections.abc import Mapping
from typing import Any

from apps.errors import FieldError, InvalidSpec
from apps.text.suggestions import did_you_mean
from apps.text.whole_numbers import whole_number
from apps.words import shown

MAX_SEED = 2**32 - 1


def check_numbers(
    values: dict[str, Any], bounds: Mapping[str, tuple[int, int]], errors: list[FieldError]
) -> None:
    """Turn the whole numbers among some values into integers, and note those out of bounds."""
    for name, (low, high) in bounds.items():
        if name not in values:
            continue
        value = values[name]
        whole = whole_number(value)
        if whole is None or not low <= whole <= high:
            allowed = f"it must be a whole number from {low} to {high}"
            errors.append(FieldError(name, f"{shown(value)} is not allowed; {allowed}"))
        else:
            values[name] = whole


def refuse(errors: list[FieldError]) -> None:
    """Raise `InvalidSpec` where anything was noted."""
    if errors:
        raise InvalidSpec(errors)


def unknown_keys(data: Mapping[str, Any], allowed: list[str]) -> list[FieldError]:
    """Return an error for each key that is not allowed, with what may have been meant."""
    return [
        FieldError(str(key), f"unknown; allowed: {', '.join(allowed)}{did_you_mean(key, allowed)}")
        for key in data
        if key not in allowed
    ]


def check_switch(values: dict[str, Any], name: str, errors: list[FieldError]) -> None:
    """Note a value that is neither true nor false."""
    if name in values and not isinstance(values[name], bool):
        errors.append(FieldError(name, f"{shown(values[name])} is not true or false"))
