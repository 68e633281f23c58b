"""The median stopping rule, with answers worked out by hand."""

import math

import pytest

from apps.analysis.early_stopping import is_hopeless, threshold

NAN = math.nan


@pytest.mark.parametrize(
    ("others", "median"),
    [
        ([10.0, 40.0, 20.0], 20.0),
        ([10.0, 40.0, 20.0, 30.0], 25.0),
        ([-5.0, -5.0, -5.0], -5.0),
        ([10.0, 20.0, NAN, 30.0], 20.0),  # Who has reported nothing has no mean.
        ([10.0, 20.0], None),
        ([10.0, 20.0, NAN], None),
        ([], None),
    ],
)
def test_the_threshold_is_the_median_of_at_least_three_others(
    others: list[float], median: float | None
) -> None:
    assert threshold("median", others) == median


def test_a_threshold_that_is_given_needs_no_others() -> None:
    assert threshold(12, []) == 12.0
    assert threshold(-3.5, [100.0, 100.0, 100.0]) == -3.5


@pytest.mark.parametrize(
    ("best", "at_least", "hopeless"),
    [(19.9, 20.0, True), (20.0, 20.0, False), (21.0, 20.0, False), (-1e9, None, False)],
)
def test_hopeless_is_strictly_below(best: float, at_least: float | None, hopeless: bool) -> None:
    assert is_hopeless(best, at_least) is hopeless
