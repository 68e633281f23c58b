"""The record: a run's life by compare-and-set, finding runs, and what the database refuses."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, connections, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from apps.experiments.models import (
    Checkpoint,
    Evaluation,
    Experiment,
    Run,
    RunNotFound,
    Video,
    new_run_id,
)
from apps.experiments.models.leases import SILENT_AFTER_BEATS, Leased
from apps.experiments.statuses import LEGAL_MOVES, IllegalMove, JobStatus, RunStatus
from apps.spec.evaluation import EvalSpec
from apps.text.names import ID_ALPHABET, ID_LENGTH
from tests.builders import make_row

STAMPS = {"queued": "queued_at", "running": "started_at"}
N_RACES = 50


def make_evaluation(run: Run | None = None, **fields: Any) -> Evaluation:
    """Make an evaluation's row."""
    return Evaluation.objects.create(run=run or make_row(), step=10, seed=1, **fields)


def stored(row: Any) -> Any:
    """Read a row anew."""
    return type(row).objects.get(pk=row.pk)


# A run's life.


def test_the_table_of_moves_covers_every_status_and_leads_to_known_ones() -> None:
    assert set(LEGAL_MOVES) == set(RunStatus.values)
    for moves in LEGAL_MOVES.values():
        assert set(moves) <= set(RunStatus.values)


@pytest.mark.django_db
@pytest.mark.parametrize("wanted", RunStatus.values)
@pytest.mark.parametrize("status", RunStatus.values)
def test_a_run_moves_exactly_where_the_table_lets_it(status: str, wanted: str) -> None:
    run = make_row(status=status)
    if wanted in LEGAL_MOVES[status]:
        before = timezone.now()
        run.move_to(RunStatus(wanted), owner="here:1", status_reason="because")
        assert run.status == stored(run).status == wanted
        assert stored(run).status_reason == "because"
        stamp = getattr(stored(run), STAMPS.get(wanted, "finished_at"))
        assert before <= stamp <= timezone.now()
    else:
        with pytest.raises(IllegalMove) as caught:
            run.move_to(RunStatus(wanted), status_reason="because")
        assert run.status == stored(run).status == status
        assert stored(run).status_reason == ""
        error = caught.value
        assert (error.status, error.wanted) == (status, wanted)
        assert error.legal == [str(move) for move in LEGAL_MOVES[status]] == run.legal_moves()
        assert f"a run that is {status} cannot become {wanted}" in str(error)
        assert (", ".join(error.legal) or "none: this is final") in str(error)


@pytest.mark.django_db
def test_a_move_stamps_no_other_time() -> None:
    run = make_row()
    run.move_to(RunStatus.QUEUED)
    assert (run.started_at, run.finished_at) == (None, None)
    run.move_to(RunStatus.STOPPED)
    assert run.started_at is None
    assert run.queued_at < run.finished_at


@pytest.mark.django_db
def test_a_move_writes_the_fields_it_names_and_leaves_the_others() -> None:
    run = make_row()
    Run.objects.filter(pk=run.pk).update(step=70)
    run.name = "renamed in memory only"
    run.move_to(RunStatus.QUEUED)
    assert (stored(run).name, stored(run).step) == ("tiny", 70)
    assert (run.name, run.step) == ("tiny", 70)


@pytest.mark.django_db
def test_a_run_that_somebody_else_moved_is_not_moved() -> None:
    run, stale = (found := make_row()), stored(found)
    run.move_to(RunStatus.QUEUED)
    run.move_to(RunStatus.STOPPED)
    with pytest.raises(IllegalMove) as caught:
        stale.move_to(RunStatus.QUEUED)
    assert stale.status == caught.value.status == RunStatus.STOPPED
    assert caught.value.legal == ["queued"]
    assert "is stopped was moved by somebody else; legal moves: queued" in str(caught.value)


@pytest.mark.django_db
def test_a_supervisor_of_an_earlier_attempt_moves_nothing() -> None:
    run = make_row(status=RunStatus.RUNNING)
    stale = stored(run)
    Run.objects.filter(pk=run.pk).update(attempt=2, owner="there:2")
    with pytest.raises(IllegalMove):
        stale.move_to(RunStatus.COMPLETED, return_best=1.0)
    assert stored(run).status == RunStatus.RUNNING
    assert stored(run).return_best is None


# Claims and beats.


@pytest.mark.django_db
@pytest.mark.parametrize("status", [*RunStatus.values])
def test_only_a_run_that_waits_can_be_claimed(status: str) -> None:
    run = make_row(status=status)
    attempt = run.attempt
    is_waiting = status in {RunStatus.DRAFT, RunStatus.QUEUED}
    assert run.claim("here:7") is is_waiting
    assert run.status == stored(run).status == ("running" if is_waiting else status)
    assert run.attempt == attempt + is_waiting
    assert (run.owner == "here:7") is is_waiting
    if is_waiting:
        assert run.started_at is not None
        assert run.beat_at is not None


@pytest.mark.django_db
def test_a_run_is_claimed_once() -> None:
    run = make_row(status=RunStatus.QUEUED)
    first, second = stored(run), stored(run)
    assert first.claim("here:1") is True
    assert second.claim("here:2") is False
    assert stored(run).owner == "here:1"
    assert stored(run).attempt == 1


@pytest.mark.django_db
def test_a_claim_on_an_earlier_attempt_fails() -> None:
    run = make_row(status=RunStatus.QUEUED)
    stale = stored(run)
    Run.objects.filter(pk=run.pk).update(attempt=1)
    assert stale.claim("here:1") is False
    assert stored(run).status == RunStatus.QUEUED


@pytest.fixture
def race(transactional_db: None) -> Callable[..., list[bool]]:
    """Let several threads, each with a connection of its own, do something at the same instant."""

    def run(*attempts: Callable[[], bool]) -> list[bool]:
        results: list[bool] = []
        barrier = threading.Barrier(len(attempts))

        def attempt(do: Callable[[], bool]) -> None:
            try:
                connection.ensure_connection()
                barrier.wait(timeout=30)
                results.append(do())
            finally:
                connections.close_all()

        threads = [threading.Thread(target=attempt, args=(do,)) for do in attempts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return run


def test_of_two_supervisors_that_claim_a_run_at_once_exactly_one_wins(
    race: Callable[..., list[bool]],
) -> None:
    for _ in range(N_RACES):
        run = make_row(status=RunStatus.QUEUED)
        one, other = stored(run), stored(run)
        results = race(
            lambda one=one: one.claim("one:1"), lambda other=other: other.claim("two:2")
        )
        assert sorted(results) == [False, True]
        row = stored(run)
        assert row.attempt == 1
        assert row.owner in {"one:1", "two:2"}


def test_of_two_supervisors_that_claim_an_evaluation_at_once_exactly_one_wins(
    race: Callable[..., list[bool]],
) -> None:
    for _ in range(N_RACES):
        evaluation = make_evaluation()
        one, other = stored(evaluation), stored(evaluation)
        results = race(
            lambda one=one: one.claim("one:1"), lambda other=other: other.claim("two:2")
        )
        assert sorted(results) == [False, True]
        assert stored(evaluation).attempt == 1


def test_a_claim_and_a_stop_at_once_leave_a_run_that_is_one_of_both(
    race: Callable[..., list[bool]],
) -> None:
    def stop(run: Run) -> bool:
        try:
            run.move_to(RunStatus.STOPPED)
        except IllegalMove:
            return False
        return True

    for _ in range(N_RACES):
        run = make_row(status=RunStatus.QUEUED)
        one, other = stored(run), stored(run)
        results = race(lambda one=one: one.claim("one:1"), lambda other=other: stop(other))
        assert sorted(results) == [False, True]
        assert stored(run).status in {RunStatus.RUNNING, RunStatus.STOPPED}


@pytest.mark.django_db
def test_a_beat_counts_and_writes_the_fields_it_names() -> None:
    run = make_row(status=RunStatus.RUNNING, beats=4)
    assert run.beat(step=50, return_last=1.5) is True
    row = stored(run)
    assert (row.beats, row.step, row.return_last) == (5, 50, 1.5)
    assert timezone.now() - row.beat_at < timedelta(seconds=10)


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change", [{"attempt": 2}, {"owner": "there:2"}, {"status": RunStatus.LOST}]
)
def test_a_beat_of_a_run_that_is_no_longer_ones_own_changes_nothing(
    change: dict[str, Any],
) -> None:
    run = make_row(status=RunStatus.RUNNING)
    Run.objects.filter(pk=run.pk).update(**change)
    assert run.beat(step=50) is False
    assert (stored(run).beats, stored(run).step) == (0, 0)


@pytest.mark.django_db
def test_a_beat_of_a_deleted_run_changes_nothing() -> None:
    run = make_row(status=RunStatus.RUNNING)
    Run.objects.all().delete()
    assert run.beat(step=50) is False


@pytest.mark.django_db
def test_an_evaluations_life_is_claimed_beaten_and_finished_once() -> None:
    evaluation = make_evaluation()
    assert evaluation.finish(JobStatus.COMPLETED) is False  # Nobody has claimed it yet.
    assert evaluation.claim("here:1") is True
    stale = stored(evaluation)
    assert evaluation.beat() is True
    assert evaluation.finish(JobStatus.COMPLETED, return_mean=7.0) is True
    assert (evaluation.status, evaluation.return_mean) == (JobStatus.COMPLETED, 7.0)
    assert evaluation.finished_at is not None
    assert evaluation.beat() is False
    assert stale.finish(JobStatus.FAILED, error="late") is False
    assert (stored(evaluation).status, stored(evaluation).error) == (JobStatus.COMPLETED, "")
    assert evaluation.claim("here:2") is False


@pytest.mark.django_db
def test_an_evaluation_is_not_finished_by_an_earlier_attempt() -> None:
    evaluation = make_evaluation()
    evaluation.claim("here:1")
    Evaluation.objects.filter(pk=evaluation.pk).update(attempt=2)
    assert evaluation.finish(JobStatus.COMPLETED) is False
    assert stored(evaluation).status == JobStatus.RUNNING


@pytest.mark.django_db
def test_a_running_evaluation_goes_back_to_the_queue_and_is_claimed_anew() -> None:
    evaluation = make_evaluation()
    assert evaluation.requeue() is False
    evaluation.claim("here:1")
    stale, as_stale = stored(evaluation), stored(evaluation)
    assert evaluation.requeue() is True
    assert (evaluation.status, evaluation.owner) == (JobStatus.QUEUED, "")
    assert evaluation.claim("there:2") is True
    assert evaluation.attempt == 2
    assert stale.requeue() is False
    assert as_stale.finish(JobStatus.FAILED) is False
    assert stored(evaluation).status == JobStatus.RUNNING


@pytest.mark.parametrize(
    ("owner", "host", "pid"),
    [
        ("", "", 0),
        ("laptop:12", "laptop", 12),
        ("laptop:12:34", "laptop", 12),
        ("laptop", "laptop", 0),
    ],
)
def test_an_owner_is_a_host_and_a_process(owner: str, host: str, pid: int) -> None:
    row: Leased = Run(owner=owner)
    assert (row.owner_host, row.owner_pid) == (host, pid)


# What the database refuses.


@pytest.mark.django_db
@pytest.mark.parametrize(
    "change",
    [{"status": "resting"}, {"status": ""}, {"total_timesteps": 0}, {"status": "running"}],
)
def test_the_database_refuses_a_run_that_cannot_be(change: dict[str, Any]) -> None:
    run = make_row()
    with pytest.raises(IntegrityError), transaction.atomic():
        Run.objects.filter(pk=run.pk).update(**change)
    assert stored(run).status == RunStatus.DRAFT


@pytest.mark.django_db
def test_the_database_refuses_to_move_a_run_to_running_without_an_owner() -> None:
    run = make_row(status=RunStatus.QUEUED)
    with pytest.raises(IntegrityError), transaction.atomic():
        run.move_to(RunStatus.RUNNING)


@pytest.mark.django_db
def test_the_database_refuses_an_evaluation_of_unknown_status() -> None:
    evaluation = make_evaluation()
    with pytest.raises(IntegrityError), transaction.atomic():
        Evaluation.objects.filter(pk=evaluation.pk).update(status="resting")


@pytest.mark.django_db
def test_a_step_has_one_checkpoint_a_file_one_evaluation_and_one_film() -> None:
    run = make_row()
    film = {
        "run": run,
        "step": 1,
        "path": "eval/a.mp4",
        "poster_path": "eval/a.webp",
        "duration_s": 1.0,
        "width": 2,
        "height": 2,
        "size_bytes": 3,
    }
    Checkpoint.objects.create(run=run, step=1)
    Video.objects.create(**film)
    make_evaluation(run, name="eval_1")
    for make in (
        lambda: Checkpoint.objects.create(run=run, step=1),
        lambda: Video.objects.create(**film),
        lambda: make_evaluation(run, name="eval_1"),
    ):
        with pytest.raises(IntegrityError), transaction.atomic():
            make()
    make_evaluation(run, name="")
    make_evaluation(run, name="")
    make_evaluation(make_row(), name="eval_1")
    assert Evaluation.objects.count() == 4


@pytest.mark.django_db
def test_an_experiment_with_runs_is_not_deleted() -> None:
    run = make_row()
    with pytest.raises(IntegrityError):
        run.experiment.delete()
    assert Run.objects.count() == 1


@pytest.mark.django_db
def test_deleting_a_run_deletes_what_belongs_to_it() -> None:
    run = make_row()
    Checkpoint.objects.create(run=run, step=1)
    make_evaluation(run)
    run.delete()
    assert not Checkpoint.objects.exists()
    assert not Evaluation.objects.exists()


# Finding runs.


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("abcd2345", "abcd2345"),
        ("abcd2", "abcd2345"),
        ("ab", None),
        ("abce", "abce2345"),
        ("first", "abcd2345"),
        ("fir", None),
        ("abcd", "zzzz2345"),  # A name wins over a prefix.
        ("latest", "zzzz2345"),
        ("twins", None),
        ("zz%", None),
        ("_bcd2345", None),
        ("nothing", None),
        ("", None),
        (" ", None),
        ("x" * 5000, None),
        ("a'; DROP TABLE", None),
    ],
)
def test_a_run_is_found_by_id_prefix_name_or_latest(text: str, found: str | None) -> None:
    now = timezone.now()
    for age, (id_, name) in enumerate(
        [("zzzz2345", "abcd"), ("abcd2345", "first"), ("abce2345", "twins"), ("yyyy2345", "twins")]
    ):
        make_row(id=id_, name=name, created_at=now - timedelta(days=age))
    if found is None:
        with pytest.raises(RunNotFound):
            Run.objects.resolve(text)
    else:
        assert Run.objects.resolve(text).pk == found


@pytest.mark.django_db
def test_an_id_wins_over_another_runs_name() -> None:
    make_row(id="abcd2345", name="one")
    make_row(id="zzzz2345", name="abcd2345")
    assert Run.objects.resolve("abcd2345").pk == "abcd2345"


@pytest.mark.django_db
def test_several_matches_are_refused_with_at_most_five_of_them() -> None:
    for number in range(2, 9):
        make_row(id=f"abc{number}", name=f"run {number}")
    with pytest.raises(RunNotFound, match="'abc' matches several runs") as caught:
        Run.objects.resolve("abc")
    assert str(caught.value).count("abc") == 1 + 5
    assert "abc8 (run 8)" in str(caught.value)  # The newest first.
    assert "(run 3)" not in str(caught.value)


@pytest.mark.django_db
def test_latest_of_no_runs_is_refused() -> None:
    with pytest.raises(RunNotFound, match="no run has"):
        Run.objects.resolve("latest")


@pytest.mark.django_db
def test_runs_are_found_among_those_that_were_asked() -> None:
    make_row(id="abcd2345", environment="Pendulum-v1")
    with pytest.raises(RunNotFound):
        Run.objects.filter(environment="CartPole-v1").resolve("abcd2345")


def test_ids_are_short_random_and_safe_in_a_path() -> None:
    ids = {new_run_id() for _ in range(500)}
    assert len(ids) == 500
    for id_ in ids:
        assert len(id_) == ID_LENGTH
        assert set(id_) <= set(ID_ALPHABET)
    assert not set(ID_ALPHABET) & set("01ilo/.\\")


# Queues and lists.


@pytest.mark.django_db
def test_the_run_that_has_waited_longest_is_next() -> None:
    now = timezone.now()
    make_row(status=RunStatus.DRAFT, queued_at=now - timedelta(hours=9))
    make_row(status=RunStatus.QUEUED, queued_at=now)
    first = make_row(status=RunStatus.QUEUED, queued_at=now - timedelta(hours=1))
    assert Run.objects.next_queued() == first
    Run.objects.update(status=RunStatus.STOPPED)
    assert Run.objects.next_queued() is None


@pytest.mark.django_db
def test_the_evaluation_that_has_waited_longest_is_next() -> None:
    now = timezone.now()
    make_evaluation(status=JobStatus.COMPLETED, created_at=now - timedelta(hours=9))
    make_evaluation(created_at=now)
    first = make_evaluation(created_at=now - timedelta(hours=1))
    assert Evaluation.objects.next_queued() == first


@pytest.mark.django_db
def test_active_runs_are_those_queued_or_running() -> None:
    for status in RunStatus.values:
        make_row(status=status)
    assert {run.status for run in Run.objects.active()} == {"queued", "running"}
    for run in Run.objects.all():
        assert run.is_active == (run.status in {"queued", "running"})


@pytest.mark.django_db
@pytest.mark.parametrize("count", [1, 30])
def test_a_list_takes_one_query_however_long(
    django_assert_num_queries: DjangoAssertNumQueries, count: int
) -> None:
    for number in range(count):
        experiment = Experiment.objects.create(name=f"Experiment {number}")
        make_row(experiment=experiment, spec={"large": "x" * 1000})
    with django_assert_num_queries(1) as queries:
        for run in Run.objects.for_listing():
            str(run)
            assert run.experiment.name
            assert run.progress == 0
            assert run.elapsed_s is None
            assert run.preset_title == ""
            assert run.is_silent is False
            assert run.legal_moves()
    assert '"spec"' not in queries.captured_queries[0]["sql"]
    assert '"error"' not in queries.captured_queries[0]["sql"]


@pytest.mark.django_db
def test_a_list_begins_with_the_newest() -> None:
    now = timezone.now()
    ages = [3, 1, 2]
    for age in ages:
        make_row(name=str(age), created_at=now - timedelta(days=age))
    assert [run.name for run in Run.objects.for_listing()] == ["1", "2", "3"]


# What a run says of itself.


@pytest.mark.parametrize(
    ("status", "step", "progress"),
    [
        ("draft", 0, 0.0),
        ("running", 25, 0.25),
        ("running", 100, 1.0),
        ("running", 2148, 1.0),  # A rollout may go beyond the end.
        ("stopped", 50, 0.5),
        ("completed", 100, 1.0),
        ("completed", 0, 1.0),
    ],
)
def test_progress_is_a_share_from_0_to_1(status: str, step: int, progress: float) -> None:
    assert Run(status=status, step=step, total_timesteps=100).progress == progress


@pytest.mark.parametrize(
    ("status", "age_beats", "is_silent"),
    [
        ("running", None, False),
        ("running", 0.0, False),
        ("running", SILENT_AFTER_BEATS - 1, False),
        ("running", SILENT_AFTER_BEATS + 1, True),
        ("running", -50, False),  # A clock that jumped back.
        ("completed", 1000, False),
        ("queued", 1000, False),
    ],
)
def test_a_run_is_silent_when_its_last_beat_is_long_ago(
    status: str, age_beats: float | None, is_silent: bool
) -> None:
    run = Run(status=status)
    if age_beats is not None:
        run.beat_at = timezone.now() - timedelta(seconds=age_beats * settings.HEARTBEAT_S)
    assert run.is_silent is is_silent


@pytest.mark.parametrize(
    ("status", "steps_per_second", "step", "eta_s"),
    [
        ("running", 10.0, 40, 6.0),
        ("running", 10.0, 200, 0.0),
        ("running", None, 40, None),
        ("running", 0.0, 40, None),
        ("paused", 10.0, 40, None),
    ],
)
def test_the_time_left_follows_from_the_present_speed(
    status: str, steps_per_second: float | None, step: int, eta_s: float | None
) -> None:
    run = Run(status=status, steps_per_second=steps_per_second, step=step, total_timesteps=100)
    assert run.eta_s == eta_s


def test_the_time_spent_counts_from_the_start_to_the_end_or_to_now() -> None:
    start = timezone.now() - timedelta(seconds=60)
    assert Run().elapsed_s is None
    assert Run(started_at=start).elapsed_s == pytest.approx(60, abs=5)
    assert Run(started_at=start, finished_at=start + timedelta(seconds=7)).elapsed_s == 7


@pytest.mark.parametrize(
    ("preset", "title"), [("", ""), ("high_score", "High score"), ("mine", "mine")]
)
def test_a_preset_is_shown_by_its_title(preset: str, title: str) -> None:
    assert Run(preset=preset).preset_title == title


def test_a_runs_directory_has_its_id_and_lies_among_the_runs() -> None:
    run = Run(id="abcd2345")
    assert run.directory.path == settings.RUNS_ROOT / "abcd2345"


@pytest.mark.django_db
def test_an_evaluation_that_is_asked_for_keeps_what_was_asked() -> None:
    run = make_row()
    spec = EvalSpec(n_episodes=3, seed=9, is_deterministic=False, should_film=False)
    evaluation = stored(Evaluation.objects.ask(run, 40, spec))
    assert (evaluation.run, evaluation.step, evaluation.status) == (run, 40, JobStatus.QUEUED)
    assert (evaluation.n_episodes, evaluation.seed) == (3, 9)
    assert (evaluation.is_deterministic, evaluation.should_film) == (False, False)


@pytest.mark.parametrize(
    ("result", "words"),
    [(None, ""), ({}, ""), ({"film_error": None}, ""), ({"film_error": "x"}, "x")],
)
def test_an_evaluation_says_why_it_has_no_film(result: Any, words: str) -> None:
    assert Evaluation(result=result).film_error == words
