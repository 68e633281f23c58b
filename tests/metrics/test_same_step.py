"""A run's return at a step."""

from pathlib import Path

from apps.metrics.same_step import returns_at
from apps.rundir import events
from apps.rundir.directory import RunDirectory

KEY = "rollout/ep_rew_mean"


def test_it_is_the_last_finite_one_at_or_before_the_step(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run").create({}, {})
    run.append(
        events.metrics(10, {KEY: 1.0}),
        events.metrics(20, {KEY: float("nan")}),
        events.metrics(30, {KEY: 3.0}),
    )
    assert returns_at(run.log, [9, 10, 25, 30, 99]) == [None, 1.0, 1.0, 3.0, 3.0]


def test_what_a_later_attempt_started_over_does_not_count(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "run").create({}, {})
    run.append(
        events.metrics(10, {KEY: 1.0}),
        events.metrics(20, {KEY: 2.0}),
        events.attempt(10, 2, "exact"),
        events.metrics(30, {KEY: 3.0}),
    )
    assert returns_at(run.log, [20, 30]) == [1.0, 3.0]


def test_a_run_without_a_log_has_none(tmp_path: Path) -> None:
    assert returns_at(tmp_path / "no" / "metrics.jsonl", [10]) == [None]
