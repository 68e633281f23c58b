"""When a run may be stopped for being worse than its like: the spec's `early_stop`."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from apps.analysis.early_stopping import MEDIAN
from apps.errors import FieldError, InvalidSpec
from apps.text.suggestions import did_you_mean
from apps.words import shown

# How the reason of a run begins that was stopped for it.
REASON = "Early stop: "
DEFAULTS: dict[str, Any] = {"after_fraction": 0.5, "below": MEDIAN}
# A run is judged at each of its tenths, the last of which is its end.
FRACTION_BOUNDS = (0.1, 0.9)


def read_early_stop(given: Any) -> dict[str, Any]:
    """Return a spec's `early_stop` with what it leaves out filled in.

    Raises:
        ValueError: It is no object of such names.
        InvalidSpec: Says of each value that is not allowed what would be.
    """
    if not isinstance(given, Mapping) or not set(given) <= set(DEFAULTS):
        names = [*given] if isinstance(given, Mapping) else []
        unknown = [name for name in names if name not in DEFAULTS]
        hint = did_you_mean(unknown[0], DEFAULTS) if unknown else ""
        raise ValueError(f"{shown(given)} is not an object with {' and '.join(DEFAULTS)}{hint}")
    option = {**DEFAULTS, **given}
    if errors := [*_wrong_with(option)]:
        raise InvalidSpec(errors)
    return option


def _wrong_with(option: Mapping[str, Any]) -> Iterator[FieldError]:
    low, high = FRACTION_BOUNDS
    if not _is_number(option["after_fraction"]) or not low <= option["after_fraction"] <= high:
        yield FieldError(
            "early_stop.after_fraction",
            f"{shown(option['after_fraction'])} is not allowed; it must be a number from "
            f"{low} to {high}",
        )
    if option["below"] != MEDIAN and not _is_number(option["below"]):
        yield FieldError(
            "early_stop.below",
            f"{shown(option['below'])} is not allowed; it must be a number or {MEDIAN}",
        )


def _is_number(value: Any) -> bool:
    is_one = isinstance(value, int | float) and not isinstance(value, bool)
    return is_one and abs(value) < math.inf
