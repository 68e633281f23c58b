"""Thinning and smoothing: answers computed by hand, and the laws that a reader relies on."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.analysis.curves import EMA_COLUMN, FloatArray, smooth, thin, windowed_mean

LAW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
SPECIAL = [np.nan, np.inf, -np.inf]


@st.composite
def curves(draw: st.DrawFn, min_size: int = 1) -> tuple[FloatArray, FloatArray]:
    """Steps that do not decrease, as logs have them, and values with ties, NaN and Inf."""
    gaps = st.integers(0, 3) | st.sampled_from([64, 1000, 100_000])
    values = st.integers(-5, 5).map(float) | st.floats(-1e9, 1e9) | st.sampled_from(SPECIAL)
    points = draw(st.lists(st.tuples(gaps, values), min_size=min_size, max_size=120))
    first = draw(st.sampled_from([0, 1, 2048, 10**9]))
    steps = first + np.cumsum([gap for gap, _ in points])
    return steps.astype(np.float64), np.array([value for _, value in points])


@st.composite
def long_curves(draw: st.DrawFn) -> tuple[FloatArray, FloatArray]:
    """Curves of thousands of points, whose shape is drawn from a seed."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    count = draw(st.integers(500, 3000))
    gaps = random.choice([1, 1, 1, 8, 500], count) * draw(st.sampled_from([1, 2048]))
    values = random.normal(size=count).cumsum()
    values[random.random(count) < draw(st.sampled_from([0.0, 0.01, 0.5, 1.0]))] = np.nan
    return gaps.cumsum().astype(np.float64), values


def array(*values: float) -> FloatArray:
    """Make an array of floats."""
    return np.array(values, dtype=np.float64)


# Thinning, by hand.


def test_a_short_curve_is_kept_whole() -> None:
    steps, values = array(1, 2, 3, 4), array(5, np.nan, 7, 8)
    assert thin(steps, values, 4).tolist() == [0, 1, 2, 3]


def test_an_empty_curve_stays_empty() -> None:
    assert thin(array(), array(), 4).tolist() == []
    assert thin(array(), array(), 4).dtype == np.int64


def test_each_bucket_keeps_its_first_least_greatest_and_last() -> None:
    # 16 steps from 0 in 8 // 4 = 2 buckets: 15 / 2 rounded up to a power of two is 8 wide.
    steps = np.arange(16.0)
    values = array(0, 3, 1, -2, 5, 1, 1, 0, 9, 8, 7, 6, 5, 6, 7, 8)
    # In 0..7: first 0, least 3, greatest 4, last 7. In 8..15: first and greatest 8, least 12.
    assert thin(steps, values, 8).tolist() == [0, 3, 4, 7, 8, 12, 15]


def test_buckets_begin_at_step_0_wherever_the_curve_begins() -> None:
    # From 6 to 21 the span is 15 and the width again 8: the edges are at 8 and 16.
    steps = np.arange(6.0, 22.0)
    values = np.zeros(16)
    # First and least are the first of each bucket, greatest and last the last of each.
    assert steps[thin(steps, values, 8)].tolist() == [6, 7, 8, 15, 16, 21]


def test_the_first_nan_or_infinity_of_each_bucket_is_kept() -> None:
    steps = np.arange(16.0)
    values = array(0, 1, 2, np.nan, np.nan, 5, 6, 7, 8, 9, np.inf, 11, -np.inf, 13, 14, 15)
    assert thin(steps, values, 8).tolist() == [0, 3, 7, 8, 10, 15]


def test_many_points_of_one_step_share_one_bucket() -> None:
    steps, values = np.full(100, 7.0), np.arange(100.0)
    values[[20, 60]] = [-1, 1000]
    assert thin(steps, values, 4).tolist() == [0, 20, 60, 99]


def test_a_bucket_of_nan_alone_keeps_its_ends() -> None:
    steps, values = np.arange(16.0), np.full(16, np.nan)
    assert thin(steps, values, 8).tolist() == [0, 7, 8, 15]


@pytest.mark.parametrize("max_points", [3, 0, -1])
def test_too_few_points_are_refused(max_points: int) -> None:
    with pytest.raises(ValueError, match=f"at least 4, not {max_points}"):
        thin(array(1), array(1), max_points)


# Thinning, by law.


@given(curves() | long_curves(), st.integers(4, 60))
@LAW
def test_thinning_keeps_the_ends_and_the_extremes(
    curve: tuple[FloatArray, FloatArray], max_points: int
) -> None:
    steps, values = curve
    chosen = thin(steps, values, max_points)
    assert chosen.dtype == np.int64
    assert np.all(np.diff(chosen) > 0)
    assert chosen[0] == 0
    assert chosen[-1] == len(steps) - 1
    finite = values[np.isfinite(values)]
    if len(finite):
        kept = values[chosen][np.isfinite(values[chosen])]
        assert kept.min() == finite.min()
        assert kept.max() == finite.max()
    if not np.isfinite(values).all():
        assert not np.isfinite(values[chosen]).all()
        assert np.flatnonzero(~np.isfinite(values))[0] in chosen


@given(curves() | long_curves(), st.integers(4, 60))
@LAW
def test_thinning_keeps_about_as_many_points_as_were_asked_for(
    curve: tuple[FloatArray, FloatArray], max_points: int
) -> None:
    steps, values = curve
    chosen = thin(steps, values, max_points)
    # One bucket more than asked for may be touched; NaN and Inf add one point to a bucket.
    n_buckets = max_points // 4 + 1
    assert len(chosen) <= max(max_points, n_buckets * (4 if np.isfinite(values).all() else 5))
    if len(steps) <= max_points:
        assert len(chosen) == len(steps)


@given(st.integers(200, 3000), st.integers(8, 60))
@LAW
def test_an_evenly_spaced_curve_is_thinned_to_no_less_than_a_third(
    count: int, max_points: int
) -> None:
    steps = np.arange(count, dtype=np.float64)
    zigzag = np.where(steps % 2, steps, -steps)
    assert len(thin(steps, zigzag, max_points)) >= max_points / 3


def width_of(steps: FloatArray, max_points: int) -> float:
    """Find the bucket width without the code under test: double it until the span fits."""
    width = 2.0**-40
    while max(steps[-1] - steps[0], 1.0) > width * (max_points // 4):
        width *= 2
    return width


@given(curves(min_size=2) | long_curves(), st.integers(4, 60), st.data())
@LAW
def test_the_past_of_a_growing_curve_never_moves(
    curve: tuple[FloatArray, FloatArray], max_points: int, data: st.DataObject
) -> None:
    steps, values = curve
    count = data.draw(st.integers(1, len(steps)))
    before = thin(steps[:count], values[:count], max_points)
    after = thin(steps, values, max_points)
    width = width_of(steps, max_points)
    is_past = steps[:count] // width < steps[count - 1] // width  # In a bucket that was left.
    past_before = set(before[is_past[before]].tolist())
    past_after = {index for index in after.tolist() if index < count and is_past[index]}
    assert past_after <= past_before  # Nothing appears that was not drawn.
    if count > max_points and width == width_of(steps[:count], max_points):
        assert past_after == past_before  # Nothing disappears until the width doubles.


@given(long_curves(), st.integers(4, 60))
@LAW
def test_thinning_does_not_change_its_input_and_gives_the_same_answer_twice(
    curve: tuple[FloatArray, FloatArray], max_points: int
) -> None:
    steps, values = curve[0].copy(), curve[1].copy()
    first = thin(steps, values, max_points)
    assert np.array_equal(first, thin(steps, values, max_points))
    assert np.array_equal(steps, curve[0])
    assert np.array_equal(values, curve[1], equal_nan=True)


# Smoothing, by hand.


def test_smoothing_weights_the_past_and_is_debiased() -> None:
    # Weight 0.5 of 4, 8, 0: (2)/0.5; (1 + 4)/0.75; (0.5 + 2 + 0)/0.875.
    smoothed = smooth(array(4, 8, 0), 0.5)
    assert smoothed.tolist() == pytest.approx([4.0, 5 / 0.75, 2.5 / 0.875])


def test_the_first_value_is_not_pulled_towards_zero() -> None:
    assert smooth(array(100, 100, 100), 0.99).tolist() == pytest.approx([100, 100, 100])


def test_smoothing_skips_nan_and_infinity() -> None:
    smoothed = smooth(array(np.nan, 4, np.inf, 8, -np.inf), 0.5)
    assert np.isnan(smoothed[0])
    assert smoothed[1:].tolist() == pytest.approx([4, 4, 5 / 0.75, 5 / 0.75])


def test_a_curve_without_a_number_smooths_to_nan() -> None:
    assert np.isnan(smooth(array(np.nan, np.inf), 0.5)).all()
    assert len(smooth(array(), 0.5)) == 0


def test_weight_0_changes_nothing() -> None:
    values = array(1, np.nan, 3, np.inf, -2)
    smoothed = smooth(values, 0.0)
    assert np.array_equal(smoothed, values, equal_nan=True)
    smoothed[0] = 9
    assert values[0] == 1


@pytest.mark.parametrize("weight", [1.0, -0.1, 2.0, np.nan])
def test_a_weight_out_of_bounds_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="from 0 to below 1"):
        smooth(array(1), weight)


# Smoothing, by law.

finite_values = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)
weights = st.floats(0.0, 0.999)


@given(finite_values, weights)
@LAW
def test_smoothing_stays_between_the_extremes(values: list[float], weight: float) -> None:
    smoothed = smooth(array(*values), weight)
    assert smoothed.min() >= min(values) - 1e-6
    assert smoothed.max() <= max(values) + 1e-6


@given(st.lists(st.floats(-1e6, 1e6) | st.sampled_from(SPECIAL), max_size=60), weights, st.data())
@LAW
def test_smoothing_a_part_equals_the_part_of_the_smoothed_whole(
    values: list[float], weight: float, data: st.DataObject
) -> None:
    count = data.draw(st.integers(0, len(values)))
    whole = smooth(array(*values), weight)
    assert np.array_equal(smooth(array(*values[:count]), weight), whole[:count], equal_nan=True)


@given(finite_values, st.floats(0.01, 0.999))
@LAW
def test_smoothing_equals_the_weighted_mean_that_defines_it(
    values: list[float], weight: float
) -> None:
    shares = weight ** np.arange(len(values))[::-1]
    assert smooth(array(*values), weight)[-1] == pytest.approx(
        np.average(values, weights=shares), abs=1e-3, rel=1e-6
    )


def test_smoothing_goes_on_across_the_columns_in_which_it_is_computed() -> None:
    values = np.random.default_rng(1).normal(size=3 * EMA_COLUMN + 7)
    average, expected = 0.0, []
    for index, value in enumerate(values):
        average = 0.999 * average + (1 - 0.999) * value
        expected.append(average / (1 - 0.999 ** (index + 1)))
    assert smooth(values, 0.999) == pytest.approx(expected, rel=1e-9)


# The mean of a window, by hand and by law.


def test_a_window_ends_at_its_point_and_leaves_out_the_step_that_is_its_width_back() -> None:
    assert windowed_mean(array(0, 5, 10, 12), array(1, 2, 6, 4), 10).tolist() == [1, 1.5, 4, 4]


def test_a_window_skips_what_is_not_finite() -> None:
    means = windowed_mean(array(0, 1, 2, 3, 20), array(np.nan, 4, np.inf, 8, -np.inf), 10)
    assert np.isnan(means[[0, 4]]).all()
    assert means[1:4].tolist() == [4, 4, 6]


def test_one_huge_value_spoils_no_window_but_its_own() -> None:
    values = array(1e300, *([0.1] * 99))
    assert windowed_mean(np.arange(100.0), values, 5)[5:].tolist() == pytest.approx([0.1] * 95)


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_of_no_width_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, not {window}"):
        windowed_mean(array(1), array(1), window)


@given(
    st.lists(st.tuples(st.integers(0, 60), st.floats(-1e6, 1e6) | st.sampled_from(SPECIAL))),
    st.integers(1, 80),
    st.data(),
)
@LAW
def test_a_window_is_the_mean_of_what_it_holds_and_its_past_never_moves(
    points: list[tuple[int, float]], window: int, data: st.DataObject
) -> None:
    points.sort(key=lambda one: one[0])
    steps = array(*(step for step, _ in points))
    values = array(*(value for _, value in points))
    means = windowed_mean(steps, values, window)
    for index, step in enumerate(steps):
        held = values[: index + 1][steps[: index + 1] > step - window]
        held = held[np.isfinite(held)]
        assert means[index] == pytest.approx(held.mean() if len(held) else np.nan, nan_ok=True)
    count = data.draw(st.integers(0, len(points)))
    part = windowed_mean(steps[:count], values[:count], window)
    assert np.array_equal(part, means[:count], equal_nan=True)
