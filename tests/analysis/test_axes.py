"""Axes: what a resumed, superseded, disordered log counts along its surviving line."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.analysis.axes import Clock, Restart, counter, occurrences, seconds, surviving
from apps.analysis.curves import FloatArray

LAW = settings(deadline=None, max_examples=60)


def array(*values: float) -> FloatArray:
    return np.array(values, dtype=np.float64)


def rows(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


NONE = rows()


def clock(steps: FloatArray, *restarts: Restart, off_clock: np.ndarray = NONE) -> Clock:
    return Clock(steps, restarts, surviving(steps, restarts), off_clock)


# Attempt 1 reaches step 30, attempt 2 goes on from 20 after a pause of 100 s.
STEPS = array(10, 20, 30, 30, 40)
TIMES = array(101, 102, 103, 205, 206)
RESUMED = (Restart(0, 0, 100.0, 1), Restart(3, 20, 203.0, 2))


def test_a_row_is_superseded_by_any_later_restart_from_before_its_step() -> None:
    assert surviving(STEPS, RESUMED).tolist() == [True, True, False, True, True]
    again = (*RESUMED, Restart(5, 10, 300.0, 3))
    assert surviving(STEPS, again).tolist() == [True, False, False, False, False]
    assert surviving(STEPS, ()).all()


def test_seconds_leave_out_pauses_and_what_was_superseded() -> None:
    line = clock(STEPS, *RESUMED)
    # Steps 10, 20, 30 at 1, 2, 3 s; then on from step 20, two seconds after its beginning.
    assert line.count(seconds(line, TIMES)).tolist() == [1, 2, 3, 4, 5]


def test_seconds_without_an_attempt_begin_at_the_first_row() -> None:
    line = clock(array(1, 2, 3))
    assert line.count(seconds(line, array(50, 51, 53))).tolist() == [0, 1, 3]


def test_a_clock_that_was_set_back_adds_nothing() -> None:
    line = clock(array(1, 2, 3, 4))
    assert line.count(seconds(line, array(50, 51, 11, 13))).tolist() == [0, 1, 1, 3]


def test_an_evaluation_stands_where_its_step_was_however_late_it_came() -> None:
    line = clock(array(10, 20, 20, 30), off_clock=rows(2))
    assert line.count(seconds(line, array(1, 2, 900, 3))).tolist() == [0, 1, 1, 2]


def test_an_evaluation_before_any_training_stands_at_the_beginning() -> None:
    line = clock(array(0, 10), Restart(0, 0, 1.0, 1), off_clock=rows(0))
    assert line.count(seconds(line, array(50, 3))).tolist() == [0, 2]


def test_a_point_logged_late_stands_where_its_step_was() -> None:
    line = clock(array(10, 20, 30, 20, 40))
    assert line.count(seconds(line, array(1, 2, 3, 4, 5))).tolist() == [0, 1, 2, 1, 4]


def test_episodes_are_counted_along_the_line() -> None:
    line = clock(STEPS, *RESUMED)
    assert line.count(occurrences(rows(0, 2, 4), 5)).tolist() == [1, 1, 2, 1, 2]


def test_a_counter_goes_on_whether_or_not_the_attempt_restored_it() -> None:
    line = clock(STEPS, *RESUMED)
    restored = counter(rows(1, 2, 4), array(8, 16, 24))
    assert line.count(restored).tolist() == [0, 8, 16, 8, 24]
    begun_again = counter(rows(1, 2, 4), array(8, 16, 4))
    assert line.count(begun_again).tolist() == [0, 8, 16, 8, 12]
    passed_over = counter(rows(0, 1, 4), array(np.nan, 8, np.inf))
    assert line.count(passed_over).tolist() == [0, 8, 8, 8, 8]


def test_what_a_superseded_attempt_counted_is_not_gone_on_from() -> None:
    # Attempt 2 wrote but counted nothing; attempt 3 goes on from it, not from attempt 1's end.
    steps = array(10, 20, 30, 22, 25)
    line = clock(steps, Restart(3, 20, 0.0, 2), Restart(4, 23, 0.0, 3))
    assert line.count(counter(rows(1, 2, 4), array(8, 99, 9))).tolist() == [0, 8, 99, 8, 9]


def test_a_log_without_rows_counts_nothing() -> None:
    line = clock(array(), Restart(0, 0, 1.0, 1))
    assert line.count(seconds(line, array())).tolist() == []


gaps = st.lists(st.integers(1, 5), min_size=1, max_size=30)


@given(gaps, st.data())
@LAW
def test_a_resumed_run_has_the_axes_of_one_that_was_never_interrupted(
    gaps: list[int], data: st.DataObject
) -> None:
    steps = np.cumsum(gaps).astype(np.float64)
    times = 7.0 + steps / 4
    begun = Restart(0, 0, 7.0, 1)
    cut = data.draw(st.integers(0, len(steps)))
    back = data.draw(st.integers(0, cut))
    from_step = steps[back - 1] if back else 0.0
    pause_s = data.draw(st.floats(0, 1e6))
    # The same rows again from `back` on, as an exact resume writes them, later.
    began_at = 7.0 + from_step / 4 + pause_s
    resumed = clock(
        np.concatenate((steps[:cut], steps[back:])),
        begun,
        Restart(cut, from_step, began_at, 2),
    )
    survives = resumed.survives
    assert survives is not None
    late = np.concatenate((times[:cut], times[back:] + pause_s))
    whole = clock(steps, begun)
    expected = whole.count(seconds(whole, times))
    assert np.allclose(resumed.count(seconds(resumed, late))[survives], expected)
    every_third = rows(*range(0, len(steps), 3))
    again = np.isin(np.concatenate((np.arange(cut), np.arange(back, len(steps)))), every_third)
    counted = resumed.count(occurrences(np.flatnonzero(again), len(again)))[survives]
    assert counted.tolist() == whole.count(occurrences(every_third, len(steps))).tolist()


@given(st.lists(st.integers(0, 40), min_size=1, max_size=40), st.data())
@LAW
def test_a_row_keeps_its_place_when_others_follow(steps: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(steps)))
    times = array(*data.draw(st.lists(st.floats(0, 99), min_size=len(steps), max_size=len(steps))))
    evaluations = rows(*sorted(data.draw(st.sets(st.integers(0, len(steps) - 1), max_size=5))))
    whole = clock(array(*steps), off_clock=evaluations)
    part = clock(array(*steps[:count]), off_clock=evaluations[evaluations < count])
    after = whole.count(seconds(whole, times))[:count]
    assert part.count(seconds(part, times[:count])).tolist() == after.tolist()
