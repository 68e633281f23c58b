"""How numbers read for people."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps import words
from tests.number_words import CASES


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
