"""Statistics over seeds, with answers worked out by hand."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.analysis.seeds import iqm, iqm_interval, penalized_mean

INF = math.inf
RETURNS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("values", "mean"),
    [
        ([7.0], 7.0),
        ([1.0, 2.0, 6.0], 3.0),  # A quarter of three is none.
        ([100.0, 2.0, 4.0, -100.0], 3.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 1e9], 4.5),
        ([1.0, 3.0, 5.0, INF], 4.0),  # One of four never got there.
        ([1.0, 3.0, INF, INF], INF),
    ],
)
def test_the_interquartile_mean_forgets_a_quarter_at_each_end(
    values: list[float], mean: float
) -> None:
    assert iqm(values) == mean


@settings(max_examples=30)
@given(RETURNS)
def test_an_interval_lies_within_the_values_and_is_the_same_each_time(
    values: list[float],
) -> None:
    interval = iqm_interval(values)
    assert min(values) - 1e-6 <= interval.low <= interval.high <= max(values) + 1e-6
    assert iqm_interval(values) == interval
    assert iqm_interval(values, confidence=0.5).low >= interval.low


def test_an_interval_is_unbounded_where_too_many_seeds_never_got_there() -> None:
    low, high = iqm_interval([1.0, 2.0, 3.0, 4.0, INF, INF])
    assert 1.0 <= low < 4.0
    assert high == INF


def test_a_seed_that_failed_costs_the_penalty() -> None:
    assert penalized_mean([1.0, 2.0, INF], penalty=9.0) == 4.0


@pytest.mark.parametrize("values", [[], [[1.0]], [1.0, math.nan]])
def test_what_is_no_row_of_numbers_is_refused(values: list[float]) -> None:
    for statistic in (iqm, iqm_interval):
        with pytest.raises(ValueError, match=r"shape|NaN"):
            statistic(values)


def test_a_confidence_out_of_bounds_is_refused() -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        iqm_interval([1.0], confidence=1.0)
