"""Early stop: who is judged, when, against whom, and what becomes of it."""

from typing import Any

import pytest
from pytest_django import Settings

from apps.experiments.groups import groups_of
from apps.experiments.models import Run
from apps.experiments.statuses import Relation, RunStatus
from apps.jobs.rows import LogCopier
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import checking, life
from apps.jobs.worker import supervisor
from apps.jobs.worker.early_stop import Judge
from apps.metrics.summary import RunSummary
from apps.spec import early_stop
from apps.spec.run import RunSpec
from apps.spec.seeds import configuration_hash
from tests.builders import TINY_PPO, make_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


def seed(means: list[float | None], best: float | None = None, **fields: Any) -> Run:
    """Make a seed of a configuration that may be stopped early, with its running means."""
    option = fields.pop("early_stop", {})
    spec = RunSpec.from_dict({**TINY_PPO, "early_stop": option}).as_dict()
    values = {"status": RunStatus.COMPLETED, "attempt": 1, "owner": "here:1:x", **fields}
    return make_run(
        spec=spec,
        configuration_hash=configuration_hash(spec),
        return_tenths=means,
        return_best=best,
        **values,
    )


def reason_after_judging(run: Run, summary: RunSummary | None = None) -> str:
    """Judge a run once and return why it is to stop, empty when it goes on."""
    Judge(run, summary or RunSummary()).look()
    run.refresh_from_db()
    return run.status_reason if run.stop_requested_at else ""


def others(*figures: float) -> None:
    for figure in figures:
        seed([0.0, 0.0, 0.0, 0.0, figure, 999.0])


def running(best: float | None, tenths: int = 5, **fields: Any) -> Run:
    return seed([1.0] * tenths, best, status=RunStatus.RUNNING, **fields)


def test_a_run_below_the_median_of_three_that_got_as_far_is_asked_to_stop() -> None:
    others(10.0, 40.0, 20.0)
    seed([900.0] * 4)  # It did not get that far.
    seed([900.0] * 9, relation=Relation.BRANCH)  # It began elsewhere.
    make_run(status=RunStatus.COMPLETED, return_tenths=[900.0] * 9)  # Another configuration.
    run = running(best=19.0)
    assert reason_after_judging(run) == (
        "Early stop: its best mean return 19 is below 20, the median of the running means of 3 "
        "others, at 50 % of the run. `resume` goes on regardless."
    )
    assert (run.stop_as, run.status) == (RunStatus.STOPPED, RunStatus.RUNNING)


@pytest.mark.parametrize(
    "case",
    [
        {"best": 20.0},
        {"best": None},
        {"best": 1.0, "tenths": 4},
        {"best": 1.0, "tenths": 10},
        {"best": 1.0, "early_stop": None},
        {"best": 1.0, "early_stop": {"below": 0.5}},
    ],
)
def test_a_run_goes_on_that_is_good_enough_or_not_to_be_judged(case: dict[str, Any]) -> None:
    others(10.0, 40.0, 20.0)
    assert reason_after_judging(running(**case)) == ""


def test_two_others_are_too_few_but_a_given_threshold_needs_none() -> None:
    others(10.0, 40.0)
    assert reason_after_judging(running(best=1.0)) == ""
    run = running(best=1.0, tenths=7, early_stop={"after_fraction": 0.7, "below": 2})
    assert "is below 2, asked for, at 70 % of the run" in reason_after_judging(run)


def test_who_asked_first_or_took_the_run_over_wins() -> None:
    others(10.0, 40.0, 20.0)
    run = running(best=1.0)
    life.pause(run)
    assert reason_after_judging(run) == "Paused by its user."
    taken = running(best=1.0)
    Run.objects.filter(pk=taken.pk).update(attempt=2)
    assert reason_after_judging(taken) == ""


def test_a_run_is_judged_once_a_tenth_and_not_again_once_it_was_resumed() -> None:
    others(10.0, 40.0, 20.0)
    run = running(best=1.0)
    assert reason_after_judging(run, RunSummary(return_tenths=[1.0] * 5)) == ""
    assert reason_after_judging(run, RunSummary(was_stopped_early=True)) == ""
    assert reason_after_judging(run) != ""


def test_a_group_says_how_many_were_stopped_early() -> None:
    others(10.0, 40.0, 20.0)
    run = seed([1.0], status=RunStatus.STOPPED, status_reason=f"{early_stop.REASON}worse")
    (group,) = groups_of(run.experiment)
    assert (group.n_runs, group.n_stopped_early) == (4, 1)


@pytest.mark.slow
def test_a_hopeless_run_ends_stopped_with_a_checkpoint_and_its_reason(settings: Settings) -> None:
    settings.WARM_TRAINER = False
    supervisor.shutdown.clear()
    option = {"after_fraction": 0.1, "below": 1e9}
    spec = checking.check_spec({**TINY_PPO, "total_timesteps": 30_000, "early_stop": option})
    run = life.launch(spec)
    assert run.claim(supervisor.new_owner())
    supervisor.supervise_run(run, TrainerProcess(*TRAINER), lambda: None)
    assert run.status == RunStatus.STOPPED
    assert run.status_reason.startswith("Early stop: its best mean return")
    assert run.can_resume
    copier = LogCopier(run)
    copier.advance()
    assert copier.summary.was_stopped_early
