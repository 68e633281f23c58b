"""Whose turn it is among evaluations, and how one is cancelled."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apps.experiments.models import Evaluation, Experiment, Run
from apps.experiments.models.plays import jobs_in_turn
from apps.experiments.statuses import JobStatus, RunStatus
from apps.spec.evaluation import EvalSpec
from tests.builders import make_run

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def ask(run: Run, step: int) -> Evaluation:
    return Evaluation.objects.ask(run, step, EvalSpec())


@pytest.mark.django_db
@pytest.mark.usefixtures("home")
def test_a_run_with_thirty_evaluations_does_not_keep_anothers_first_waiting() -> None:
    greedy, modest = make_run(status=RunStatus.COMPLETED), make_run(status=RunStatus.COMPLETED)
    many = [ask(greedy, step) for step in range(30)]
    first = ask(modest, 1)
    assert Evaluation.objects.next_queued() == many[0]
    assert many[0].claim("here:1:x")
    assert Evaluation.objects.next_queued() == first
    assert many[0].finish(JobStatus.COMPLETED)
    assert Evaluation.objects.next_queued() == first  # Also when nothing runs: it was served.
    assert first.claim("here:1:x")
    assert Evaluation.objects.next_queued() == many[1]


@pytest.mark.django_db
@pytest.mark.usefixtures("home")
def test_an_experiment_of_many_runs_does_not_keep_anothers_first_waiting() -> None:
    batch = [make_run(status=RunStatus.COMPLETED) for _ in range(5)]
    alone = make_run(experiment=Experiment.objects.create(name="Alone"))
    asked = [ask(run, 1) for run in batch]
    mine = ask(alone, 1)
    assert Evaluation.objects.in_turn()[:2] == [asked[0].pk, mine.pk]


@pytest.mark.django_db
@pytest.mark.usefixtures("home")
def test_what_has_ended_cannot_be_cancelled_and_what_is_cancelled_not_finished() -> None:
    evaluation = ask(make_run(), 1)
    assert evaluation.claim("here:1:x")
    supervised = Evaluation.objects.get()
    assert evaluation.cancel("Cancelled by its user.")
    assert not evaluation.cancel("again")
    assert not supervised.beat()
    assert not supervised.finish(JobStatus.COMPLETED, return_mean=1.0)
    assert not supervised.requeue()
    evaluation.refresh_from_db()
    assert (evaluation.status, evaluation.return_mean) == (JobStatus.CANCELLED, None)


@pytest.mark.parametrize(
    ("error", "why"),
    [("", ""), ("x", "x"), ("Traceback\n  File\nValueError: y\n", "ValueError: y")],
)
def test_why_a_job_came_to_nothing_is_its_last_line(error: str, why: str) -> None:
    assert Evaluation(error=error).why == why


jobs = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 4), st.integers(0, 1), st.integers(-1, 1)),
    max_size=30,
)


@given(jobs, st.lists(st.integers(0, 4), max_size=3))
def test_everything_that_waits_has_one_place_and_runs_take_turns(
    waiting: list[tuple[int, int, int, int]], running: list[int]
) -> None:
    # A run belongs to one experiment: its number says which, and so its priority.
    rows = [
        (NOON + timedelta(seconds=at), key, f"run-{run}", run % 2, 0)
        for key, (at, run, _, _) in enumerate(waiting)
    ]
    order = jobs_in_turn(rows, [(f"run-{run}", run % 2) for run in running], [])
    assert sorted(order) == sorted(key for _, key, _, _, _ in rows)
    of = {key: (run, experiment, at) for at, key, run, experiment, _ in rows}
    for run in {run for run, _, _ in of.values()}:  # Of one run the oldest goes first.
        mine = [of[key][2] for key in order if of[key][0] == run]
        assert mine == sorted(mine)
    busy = Counter(run % 2 for run in running)
    for place, key in enumerate(order):  # No experiment is served while another has fewer.
        left = {of[other][1] for other in order[place:]}
        assert busy[of[key][1]] == min(busy[one] for one in left)
        busy[of[key][1]] += 1


def test_the_highest_priority_goes_first_whatever_waits_longer() -> None:
    rows = [
        (NOON, 1, "a", 1, 0),
        (NOON + timedelta(hours=1), 2, "b", 1, 5),
        (NOON + timedelta(hours=2), 3, "c", 2, 5),
    ]
    assert jobs_in_turn(rows, [], []) == [2, 3, 1]


@pytest.mark.django_db
@pytest.mark.usefixtures("home")
def test_a_job_whose_row_is_gone_with_its_run_counts_as_cancelled() -> None:
    run = make_run(status=RunStatus.COMPLETED)
    evaluation = ask(run, 1)
    assert evaluation.claim("here:1:x")
    Run.objects.filter(pk=run.pk).delete()
    assert not evaluation.finish(JobStatus.COMPLETED)
    assert evaluation.status == JobStatus.CANCELLED
    assert not evaluation.requeue()
    assert not evaluation.cancel("Cancelled by its user.")
