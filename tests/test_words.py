"""How numbers read for people."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps import words

CASES: list[tuple[float, str]] = [
    (0, "0"),
    (-0.0, "0"),
    (7, "7"),
    (1234567, "1,234,567"),
    (500.0, "500"),
    (999.96, "1,000"),
    (12345.678, "12,346"),
    (1000.5, "1,001"),
    (-1000.5, "-1,001"),
    (487.256, "487.3"),
    (-1.23456, "-1.235"),
    (0.012345, "0.0123"),
    (0.0001, "0.0001"),
    (0.00001234, "1.23e-5"),
    (1e-8, "1e-8"),
    (5e-324, "4.94e-324"),
    (999_999_999_999_999, "999,999,999,999,999"),
    (1e15, "1e15"),
    (1e6 + 0.002, "1,000,000"),
    (3.4e38, "3.4e38"),
    (-1.7e308, "-1.7e308"),
    (10**300, "1e300"),
    (10**400, "1e400"),
    (math.nan, "nan"),
    (math.inf, "inf"),
    (-math.inf, "-inf"),
]


@pytest.mark.parametrize(("value", "text"), CASES)
def test_numbers_read_well(value: float, text: str) -> None:
    assert words.number(value) == text


def test_nothing_is_a_dash() -> None:
    assert words.number(None) == "—"


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_a_number_is_short_and_near_what_it_says(value: float) -> None:
    text = words.number(value)
    assert len(text) <= 20
    if abs(value) < 1e300:
        assert math.isclose(float(text.replace(",", "")), value, rel_tol=0.005, abs_tol=0)
