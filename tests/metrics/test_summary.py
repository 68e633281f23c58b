"""The fold of a log into the numbers that lists show."""

import math

import pytest

from apps.metrics.figures import Figures
from apps.metrics.summary import RunSummary
from apps.rundir import events
from apps.rundir.events import Event


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
    columns = summary.columns()
    told = {name: value for name, value in columns.items() if value is not None}
    assert told == {
        "step": 0,
        "episodes": 0,
        "fidelity": "",
        "fidelity_notes": {},
        "return_tenths": [],
        "loss_key": "",
    }
    assert len(columns) == 23


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
    columns = fold(*returns(*values)).columns()
    assert (columns["return_last"], columns["return_best"]) == (last, best)
    assert columns["length_last"] == last / 2


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


def test_least_greatest_and_mean_are_over_all_episodes() -> None:
    episodes = [events.episode(step, value, 10 * step, 0) for step, value in [(1, 4), (2, 8)]]
    columns = fold(*episodes, *returns(5.0, 7.0)).columns()
    figures = [columns[f"return_{name}"] for name in ("min", "max", "mean", "last", "best", "auc")]
    assert figures == [4.0, 8.0, 6.0, 7.0, 7.0, 6.0]
    assert [columns[f"length_{name}"] for name in ("min", "max", "mean")] == [10.0, 20.0, 15.0]
    assert columns["episodes"] == 2
    # A log that tells no episode has them of its curve.
    assert fold(*returns(5.0, 7.0)).columns()["return_min"] == 5.0


def test_the_area_under_a_curve_is_its_mean_over_steps() -> None:
    def auc(*points: tuple[int, float]) -> float | None:
        figures = Figures()
        for step, value in points:
            figures.take_at(step, value)
        return figures.auc

    assert auc() is None
    assert auc((7, 3.0)) == 3.0
    assert auc((7, 3.0), (7, 5.0)) == 5.0  # No width: the latest.
    assert auc((0, 0.0), (10, 10.0), (40, 10.0)) == pytest.approx((50 + 300) / 40)
    assert auc((0, 1.0), (10, math.nan), (20, 3.0)) == 2.0
    assert auc((10, 4.0), (5, 100.0), (20, 4.0)) == 4.0  # What goes back has no area.
    assert auc((0, -1e308), (1, 1e308), (2, 1e308)) == pytest.approx(5e307)


def test_the_loss_is_that_of_the_preferred_metric_that_the_log_has() -> None:
    lines = [
        events.metrics(1, {"train/value_loss": 9.0, "train/actor_loss": 1.0}),
        events.metrics(2, {"train/loss": 4.0, "train/value_loss": 9.0}),
        events.metrics(3, {"train/value_loss": 9.0}),
        events.metrics(4, {"train/loss": 2.0}),
    ]
    before, after = fold(*lines[:1]).columns(), fold(*lines).columns()
    assert (before["loss_key"], before["loss_last"]) == ("train/value_loss", 9.0)
    assert (after["loss_key"], after["loss_min"], after["loss_max"]) == ("train/loss", 2.0, 4.0)
    assert after["loss_auc"] == 3.0
    assert fold(events.metrics(1, {"losses/td_loss": 1.0})).columns()["loss_last"] == 1.0


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
        columns = summary.columns()
        return columns["return_last"], columns["return_best"], columns["episodes"]

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
    assert fold(events.metrics(1, means)).columns()["return_last"] is None
    # Of a run that is trained here, the mean of all episodes stands until the first is told.
    assert fold(*episodes).columns()["return_last"] == pytest.approx(109 / 101)


def test_the_step_never_goes_back() -> None:
    assert fold(events.episode(50, 1.0, 1, 0), events.episode(40, 1.0, 1, 0)).step == 50


def test_the_life_of_a_run_is_in_its_status_lines() -> None:
    lines = [
        {**events.status(0, status, reason), "t": at}
        for at, status, reason in [
            (1.0, "draft", ""),
            (2.0, "queued", ""),
            (3.0, "running", ""),
            (9.0, "failed", "boom"),
        ]
    ]
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
