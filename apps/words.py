"""How numbers read for people, wherever they are shown: pages, the admin, commands.

`static/dashboard/lib/format.js` writes the same in a browser; a test holds both to one table of
cases and to whatever else comes along.
"""

import reprlib
from decimal import ROUND_HALF_UP, Context, Decimal
from typing import Any, SupportsFloat

NOTHING = "—"
# Outside of these a number is written with a power of ten: its digits would say nothing.
GREATEST_WRITTEN_OUT = Decimal(10) ** 15
LEAST_WRITTEN_OUT = Decimal("0.0001")
WHOLE_FROM = 1000
# Significant digits of what is at least one, and of what is less.
DIGITS, SMALL_DIGITS = 4, 3


def number(value: SupportsFloat | None) -> str:
    """Write a number so that it can be read and takes at most about twenty characters.

    Thousands apart, about four digits, and a power of ten (`1.7e308`) for what is very large or
    very small. Halves are rounded away from zero.

    Args:
        value: The number; None is written as a dash.
    """
    if value is None:
        return NOTHING
    exact = Decimal(value) if isinstance(value, int) else Decimal(float(value))
    size = abs(exact)
    if not exact.is_finite():
        return str(float(exact))
    if not exact:
        return "0"
    digits = SMALL_DIGITS if size < 1 else DIGITS
    if not LEAST_WRITTEN_OUT <= size < GREATEST_WRITTEN_OUT:
        return _with_power(exact, digits)
    if size >= WHOLE_FROM or exact == exact.to_integral_value():
        return f"{exact.quantize(Decimal(1), ROUND_HALF_UP):,}"
    return _without_zeros(f"{_rounded(exact, digits):,f}")


def _rounded(exact: Decimal, digits: int) -> Decimal:
    return Context(prec=digits, rounding=ROUND_HALF_UP).plus(exact)


def _with_power(exact: Decimal, digits: int) -> str:
    mantissa, _, exponent = f"{_rounded(exact, digits):e}".partition("e")
    return f"{_without_zeros(mantissa)}e{int(exponent)}"


def _without_zeros(text: str) -> str:
    return text.rstrip("0").rstrip(".") if "." in text else text


# A refusal repeats the value it refuses, which may be megabytes of text or deeply nested lists.
_SHORT = reprlib.Repr()


def shown(value: Any) -> str:
    """Return a value as a message shows it: its repr, cut short where it is long or deep."""
    return _SHORT.repr(value)


def size_in_words(count: float) -> str:
    """Write bytes for people, in the units that pages use."""
    for unit, size in (("GB", 1024**3), ("MB", 1024**2)):
        if count >= size:
            return f"{count / size:,.1f} {unit}"
    return f"{count / 1024:,.1f} KB"


def in_words(seconds: float) -> str:
    """Write a duration for people, in the unit that matters."""
    for unit, size in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} seconds"
