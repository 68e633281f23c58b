"""The fold of a log into the numbers that lists show."""

import math

import pytest

from apps.engine import events
from apps.engine.events import Event
from apps.metrics.summary import RunSummary


def fold(*several: Event) -> RunSummary:
    summary = RunSummary()
    for event in several:
        summary.fold(event)
    return summary


def returns(*values: float) -> list[Event]:
    return [
        events.metrics(step, {"rollout/ep_rew_mean": value, "rollout/ep_len_mean": value / 2})
        for step, value in enumerate(values, 1)
    ]


def test_an_empty_log_says_nothing() -> None:
    summary = fold()
    assert summary.columns() == {
        "step": 0, "episodes": 0, "return_last": None, "return_best": None, "return_mean": None,
        "length_last": None, "length_mean": None, "steps_per_second": None, "fidelity": "",
        "fidelity_notes": {}, "return_tenths": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "last", "best"),
    [
        ((1.0, 3.0, 2.0), 2.0, 3.0),
        ((-5.0, -7.0), -7.0, -5.0),
        ((0.0, -1.0), -1.0, 0.0),
        ((4.0, math.nan, math.inf), 4.0, 4.0),
    ],
)
def test_last_and_best_return_follow_the_moving_average(
    values: tuple[float, ...], last: float, best: float
) -> None:
    summary = fold(*returns(*values))
    assert (summary.return_last, summary.return_best) == (last, best)
    assert summary.length_last == last / 2


def test_the_running_mean_of_the_returns_is_kept_at_each_tenth() -> None:
    summary = RunSummary(total_timesteps=100)
    for step, value in ((12, 10.0), (20, 20.0), (45, 60.0), (50, math.nan)):
        summary.fold(events.metrics(step, {"rollout/ep_rew_mean": value}))
    assert summary.return_tenths == [None, 15.0, 15.0, 15.0]  # The point at 20 is in the second.
    summary.fold(events.status(100, "completed"))
    assert summary.return_tenths == [None, 15.0, 15.0, 15.0, *[30.0] * 6]
    assert not summary.was_stopped_early
    summary.fold(events.status(50, "stopped", "Early stop: worse"))
    summary.fold(events.status(50, "queued", "Resumed by its user."))
    assert summary.was_stopped_early


def test_means_are_over_all_episodes() -> None:
    summary = fold(
        *(events.episode(step, value, 10 * step, 0) for step, value in [(1, 4), (2, 8)])
    )
    assert (summary.episodes, summary.return_mean, summary.length_mean) == (2, 6.0, 15.0)


def test_the_speed_is_that_of_the_last_ten_seconds() -> None:
    slow = [{**events.episode(10 * i, 1.0, 1, 0), "t": 100.0 + i} for i in range(20)]
    fast = [{**events.episode(200 + 1000 * i, 1.0, 1, 0), "t": 120.0 + i} for i in range(20)]
    assert fold(*slow).steps_per_second == pytest.approx(10.0)
    assert fold(*slow, *fast).steps_per_second == pytest.approx(1000.0)


def test_points_of_one_step_say_nothing_of_speed() -> None:
    points = [{**events.episode(step, 1.0, 1, 0), "t": t} for step, t in ((0, 0.0), (50, 5.0))]
    assert fold(*points, {**points[-1], "t": 5.001}).steps_per_second == 10.0


def test_of_a_logged_run_the_last_hundred_episodes_stand_for_a_mean() -> None:
    def logged(*several: Event) -> tuple[float | None, float | None, int]:
        summary = RunSummary(is_logged=True)
        for event in several:
            summary.fold(event)
        return summary.return_last, summary.return_best, summary.episodes

    episodes = [
        events.episode(step, value, 5, 0) for step, value in enumerate([9.0, *[1.0] * 100])
    ]
    assert logged(*episodes[:2]) == (5.0, 9.0, 2)
    assert logged(*episodes) == (1.0, 9.0, 101)
    cleanrl = [
        events.metrics(step, {"charts/episodic_return": value, "charts/episodic_length": 3})
        for step, value in ((1, 2.0), (2, 4.0), (3, math.nan))
    ]
    assert logged(*cleanrl) == (3.0, 3.0, 2)
    # Where the script logs means of its own, they count, whatever it calls them.
    assert logged(*returns(7.0), *episodes) == (7.0, 7.0, 101)
    means = {"env_runners/episode_return_mean": 8.0, "reward/reward": 6.0}
    assert logged(events.metrics(1, means)) == (8.0, 8.0, 0)
    assert logged(events.metrics(1, {**means, "rollout/ep_rew_mean": 5.0})) == (5.0, 5.0, 0)
    assert fold(events.metrics(1, means)).return_last is None
    assert fold(*episodes).return_last is None


def test_the_step_never_goes_back() -> None:
    assert fold(events.episode(50, 1.0, 1, 0), events.episode(40, 1.0, 1, 0)).step == 50


def test_the_life_of_a_run_is_in_its_status_lines() -> None:
    lines = [
        {**events.status(0, status, reason), "t": at}
        for at, status, reason in [
            (1.0, "draft", ""), (2.0, "queued", ""), (3.0, "running", ""), (9.0, "failed", "boom"),
        ]
    ]  # fmt: skip
    summary = fold(*lines)
    assert (summary.status, summary.reason) == ("failed", "boom")
    assert (summary.queued_at, summary.started_at, summary.finished_at) == (2.0, 3.0, 9.0)


def test_checkpoints_are_remembered_by_step() -> None:
    summary = fold(events.checkpoint(100, 9, True, False), events.checkpoint(200, 9, False, True))
    assert list(summary.checkpoints) == [100, 200]


def test_an_attempt_goes_on_from_its_step_and_says_how_exactly() -> None:
    summary = fold(events.episode(50, 1.0, 1, 0), events.attempt(40, 2, "warm", {"x": "gone"}))
    assert (summary.step, summary.fidelity, summary.fidelity_notes) == (40, "warm", {"x": "gone"})


def test_how_exactly_an_attempt_goes_on_is_unknown_until_its_line_is_there() -> None:
    summary = fold(
        events.status(0, "running"),
        events.attempt(40, 2, "warm", {"x": "gone"}),
        events.status(40, "running"),
    )
    assert (summary.fidelity, summary.fidelity_notes) == ("", {})
    summary.fold(events.attempt(40, 3, "exact"))
    assert summary.fidelity == "exact"
