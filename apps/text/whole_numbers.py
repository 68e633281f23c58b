"""Whole numbers as people write them: `100000`, `1e5`, `100_000`, `1.0`."""

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

MAX_DIGITS = 20  # Of thousands of digits, Python refuses to make a number, with its own error.
MAX_LENGTH = 40
WHOLE_IN_SHORT = re.compile(r"[+-]?(?:0|[1-9](?:_?\d)*)(?:[eE]\+?\d+)?", re.ASCII)  # In full.


def whole_number(value: Any) -> int | None:
    """Return a value as a whole number, None where it is none; text is read.

    Args:
        value: Anything. A number with a fraction is no whole number, and no truth value is one.
    """
    if isinstance(value, str):
        return _read(value)
    if isinstance(value, float) and math.isfinite(value) and value == int(value):
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def written_whole(text: str) -> int | None:
    """Return a whole number that is written without a point: `1e5` and `100_000`, not `1.0`.

    Where nothing says which kind of number is wanted, a point is what tells the kinds apart.
    """
    return _read(text) if len(text) <= MAX_LENGTH and WHOLE_IN_SHORT.fullmatch(text) else None


def _read(text: str) -> int | None:
    if len(text) > MAX_LENGTH:
        return None
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    # The exponent is looked at before anything is made of it: 1e999999999 would fill the memory.
    if not number.is_finite() or number.adjusted() >= MAX_DIGITS:
        return None
    return int(number) if number == number.to_integral_value() else None
