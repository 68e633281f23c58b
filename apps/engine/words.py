"""Numbers as people read them."""

import math

# Between these, thousands are set apart; beyond, a power of ten says it shorter.
LEAST, MOST = 1e-3, 1e12


def number_in_words(value: float, digits: int = 4) -> str:
    """Write a number with its leading digits, never as zero what is not: 1e-08, 12.5, 1,234,567.

    Args:
        value: Any number; what is not finite is called by its name.
        digits: How many digits at least tell it from its neighbours.
    """
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if size and not LEAST <= size < MOST:
        return f"{value:.{digits}g}"
    if size >= 10 ** (digits - 1) or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"
