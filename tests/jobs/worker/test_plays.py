"""Evaluations and films: their own places, their own end, real processes."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.experiments.models import Evaluation, Play, Run, Video
from apps.experiments.statuses import JobStatus, RunStatus
from apps.jobs import leftovers, room, rows
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import evaluations, records, refusals, reindex
from apps.jobs.verbs.waiting import why_play_waits
from apps.jobs.worker import plays, supervisor, worker
from apps.jobs.worker.watchdog import Watchdog
from apps.spec.evaluation import EvalSpec
from tests.builders import GiveTrained, make_run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("quiet_worker"),
    pytest.mark.slow,
]


@pytest.fixture
def quiet_worker(home: Path, settings: Settings) -> Iterator[None]:
    """A worker's state of this test's own, without a trainer in reserve."""
    settings.WARM_TRAINER = False
    settings.HEARTBEAT_S = 0.2
    caches = (supervisor.reserve, plays.evaluation_places, plays.film_places)
    for one in caches:
        one.cache_clear()
    supervisor.shutdown.clear()
    yield
    supervisor.shutdown.clear()
    for one in caches:
        one.cache_clear()


def ask(run: Run, **fields: object) -> Evaluation:
    """Ask for an evaluation of a run's last checkpoint, and for nothing else."""
    run.evaluations.all().delete()
    step = run.checkpoints.order_by("step").last().step
    return Evaluation.objects.ask(run, step, EvalSpec(**fields))


def halves(run: Run) -> list[str]:
    """Names of half-written files of evaluations."""
    return [path.name for path in run.directory.evaluations.glob(".*")]


def until(is_so: Callable[[], object], limit_s: float = 40) -> None:
    deadline = time.monotonic() + limit_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


class Elsewhere:
    """Supervises a job in a thread, as a worker does."""

    def __init__(self, work: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=work)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(30)
        assert not self._thread.is_alive()


def test_a_broken_renderer_leaves_the_figures_and_the_video_says_why(
    give_trained: GiveTrained,
) -> None:
    run = give_trained("tests.worlds.odd_worlds:BrokenRenderer-v0")
    plays.evaluate_queued(lambda: None)
    plays.film_queued()
    evaluation = run.evaluations.select_related("video").get()
    assert (evaluation.status, evaluation.return_mean) == (JobStatus.COMPLETED, 10.0)
    assert evaluation.video.status == JobStatus.FAILED
    assert evaluation.film_error == "RuntimeError: no display"
    assert "in render" in evaluation.video.error
    assert evaluation.film is None
    assert halves(run) == []
    run.evaluations.all().delete()
    reindex.reindex_run(run.directory)  # The file remembers it.
    again = run.evaluations.select_related("video").get()
    assert (again.video.status, again.film_error) == ("failed", "RuntimeError: no display")


def test_an_endless_world_is_evaluated_and_filmed_to_an_end(
    settings: Settings, give_trained: GiveTrained
) -> None:
    settings.VIDEO_EPISODES, settings.VIDEO_SECONDS = 1, 2
    run = give_trained("tests.worlds.odd_worlds:Endless-v0")
    ask(run, n_episodes=2, max_episode_steps=300)
    plays.evaluate_queued(lambda: None)
    plays.film_queued()
    evaluation = run.evaluations.select_related("video").get()
    assert evaluation.return_mean == 300.0
    video = evaluation.video
    assert (video.status, video.duration_s) == (JobStatus.COMPLETED, 2.0)
    assert video.cut == "1 of 2 episodes; episode 1 cut at step 39 of 300"


def test_returns_that_are_not_finite_are_null_and_named_in_the_row(
    give_trained: GiveTrained,
) -> None:
    run = give_trained()
    columns = {"return_mean": None, "return_min": -1.7e308, "special": {"return_mean": "-inf"}}
    result = {"name": "eval_1", "n_episodes": 2, **columns}
    evaluation = ask(run, n_episodes=2, should_film=False)
    assert evaluation.claim("here:1:x")
    plays._finish_evaluation(evaluation, {"reply": "done", "result": result})
    row = Evaluation.objects.get()
    assert (row.return_mean, row.special) == (None, {"return_mean": "-inf"})
    run.refresh_from_db()
    assert run.evaluation_last is None


def test_huge_evaluations_have_a_finite_mean() -> None:
    run = make_run(status=RunStatus.COMPLETED)
    for nth in range(4):
        Evaluation.objects.create(
            run=run,
            step=nth,
            status=JobStatus.COMPLETED,
            name=f"e{nth}",
            n_episodes=5,
            return_mean=1.7e308,
            return_min=1.6e308,
            return_max=1.7e308,
        )
    rows.update_evaluation_summary(run)
    run.refresh_from_db()
    assert run.evaluation_mean == pytest.approx(1.7e308)
    assert (run.evaluation_min, run.evaluation_max) == (1.6e308, 1.7e308)


def test_an_evaluation_that_hangs_is_ended_by_force_and_fails_plainly(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, give_trained: GiveTrained
) -> None:
    settings.EVALUATION_LIMIT_S = 1
    monkeypatch.setattr(plays, "GRACE_S", 1.0)
    run = give_trained()
    evaluation = ask(run)
    assert evaluation.claim(supervisor.new_owner())
    trainer = TrainerProcess(*TRAINER)
    os.kill(trainer.pid, signal.SIGSTOP)  # A step that never comes back.
    plays.supervise_evaluation(evaluation, trainer)
    assert evaluation.status == JobStatus.FAILED
    assert "did not end within 1 s" in evaluation.error
    assert not trainer.is_running()


def test_what_waits_is_cancelled_at_once_and_never_begins(give_trained: GiveTrained) -> None:
    run = give_trained()
    evaluation = ask(run)
    evaluations.cancel(evaluation)
    assert (evaluation.status, evaluation.error) == ("cancelled", "Cancelled by its user.")
    plays.evaluate_queued(lambda: None)
    evaluation.refresh_from_db()
    assert (evaluation.status, evaluation.attempt) == (JobStatus.CANCELLED, 0)
    with pytest.raises(refusals.Refused, match="is cancelled; only what waits or is worked on"):
        evaluations.cancel(evaluation)


def test_cancelling_a_running_evaluation_ends_its_process_and_leaves_nothing(
    give_trained: GiveTrained,
) -> None:
    run = give_trained("tests.worlds.odd_worlds:Endless-v0")
    evaluation = ask(run, n_episodes=1000, max_episode_steps=1_000_000)
    assert evaluation.claim(supervisor.new_owner())
    trainer = TrainerProcess(*TRAINER)
    work = Elsewhere(lambda: plays.supervise_evaluation(evaluation, trainer))
    until(lambda: run.directory.evaluations.exists())
    evaluations.cancel(Evaluation.objects.get(pk=evaluation.pk))
    work.join()
    assert not trainer.is_running()
    row = Evaluation.objects.get()
    assert (row.status, row.return_mean) == (JobStatus.CANCELLED, None)
    assert list(run.directory.evaluations.iterdir()) == []


def filming(run: Run, settings: Settings) -> tuple[Video, TrainerProcess, Elsewhere]:
    """Evaluate a run that never ends, and begin a film of it that takes long."""
    settings.VIDEO_SECONDS = 3600
    ask(run, n_episodes=1, max_episode_steps=3_000)
    plays.evaluate_queued(lambda: None)
    video = Video.objects.select_related("evaluation").get()
    assert video.claim(supervisor.new_owner())
    trainer = TrainerProcess(*TRAINER)
    work = Elsewhere(lambda: plays.supervise_film(video, trainer))
    until(lambda: halves(run))
    return video, trainer, work


def test_cancelling_a_film_keeps_the_figures_and_says_why_there_is_none(
    settings: Settings, give_trained: GiveTrained
) -> None:
    run = give_trained("tests.worlds.odd_worlds:Endless-v0")
    video, trainer, work = filming(run, settings)
    evaluations.cancel(Evaluation.objects.select_related("video").get())
    work.join()
    assert not trainer.is_running()
    evaluation = Evaluation.objects.select_related("video").get()
    assert (evaluation.status, evaluation.return_mean) == (JobStatus.COMPLETED, 3_000.0)
    assert (evaluation.video.status, evaluation.film_error) == (
        "cancelled",
        "Cancelled by its user.",
    )
    assert [path.suffix for path in run.directory.evaluations.iterdir()] == [".json"]
    run.evaluations.all().delete()
    reindex.reindex_run(run.directory)
    assert Video.objects.get().status == JobStatus.CANCELLED
    assert video.status == JobStatus.CANCELLED


def test_deleting_a_run_ends_what_plays_it(settings: Settings, give_trained: GiveTrained) -> None:
    run = give_trained("tests.worlds.odd_worlds:Endless-v0")
    _, trainer, work = filming(run, settings)
    records.delete(run)
    work.join()
    assert not trainer.is_running()
    assert not Evaluation.objects.exists()
    back = records.restore(run.pk)
    assert halves(back) == []
    assert back.evaluations.get().return_mean == 3_000.0


def test_a_film_whose_directory_is_gone_ends_and_fails(
    settings: Settings, give_trained: GiveTrained
) -> None:
    run = give_trained("tests.worlds.odd_worlds:Endless-v0")
    video, trainer, work = filming(run, settings)
    run.directory.path.rename(run.directory.path.with_name("elsewhere"))
    work.join()
    assert not trainer.is_running()
    video.refresh_from_db()
    assert (video.status, video.error) == ("failed", "the directory of its run is gone")


def test_a_film_that_is_killed_is_made_again_and_leaves_no_half(
    settings: Settings, give_trained: GiveTrained
) -> None:
    run = give_trained("tests.worlds.odd_worlds:Endless-v0")
    video, _, work = filming(run, settings)
    supervisor.shutdown.set()
    work.join()
    video.refresh_from_db()
    assert (video.status, halves(run)) == (JobStatus.QUEUED, [])
    supervisor.shutdown.clear()
    settings.VIDEO_SECONDS = 1
    plays.film_queued()
    video.refresh_from_db()
    assert (video.status, video.attempt) == (JobStatus.COMPLETED, 2)


def test_a_worker_that_starts_sweeps_what_dead_ones_left_and_nothing_else(
    give_trained: GiveTrained,
) -> None:
    run = give_trained()
    evaluation = ask(run)
    assert evaluation.claim("here:1:x")
    assert evaluation.beat(name="eval_busy")
    folder = run.directory.evaluations
    folder.mkdir()
    run.directory.films.mkdir()
    gone = [
        folder / ".eval_dead.7.tmp.mp4",
        folder / ".eval_dead.7.tmp.webp",
        folder / ".eval_dead.json.tmp",
        run.directory.films / ".old.tmp.mp4",
    ]
    kept = [
        folder / ".eval_busy.8.tmp.mp4",
        folder / "eval_dead.json",
        run.directory.films / ".upload.tmp.mp4",
    ]
    for path in (*gone, *kept):
        path.touch()
    os.utime(gone[-1], (1, 1))
    assert leftovers.sweep() == 4
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)


def test_training_evaluations_and_films_never_take_each_others_places(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart: much waits of each kind, and every doorbell rings often."""
    settings.WORKERS = settings.EVALUATION_WORKERS = settings.VIDEO_WORKERS = 1
    supervisor.training_slots.cache_clear()
    run = make_run(status=RunStatus.COMPLETED)
    for step in range(33):
        Evaluation.objects.ask(run, step, EvalSpec())
    done = threading.Event()
    begun: list[Play] = []

    def play(job: Evaluation, trainer: object) -> None:
        begun.append(job)
        done.wait(20)

    monkeypatch.setattr(plays, "supervise_evaluation", play)
    rung = [Elsewhere(lambda: plays.evaluate_queued(lambda: None)) for _ in range(8)]
    until(lambda: begun)
    time.sleep(0.5)
    assert len(begun) == 1  # Seven threads found no place, and are free for others.
    assert supervisor.training_slots().acquire(blocking=False)
    assert plays.film_places().acquire(blocking=False)
    supervisor.shutdown.set()
    done.set()
    for one in rung:
        one.join()
    supervisor.training_slots.cache_clear()


def test_a_worker_has_a_thread_for_every_place_and_one_for_the_bell(settings: Settings) -> None:
    settings.WORKERS, settings.EVALUATION_WORKERS, settings.VIDEO_WORKERS = 3, 2, 1
    assert worker._threads() == 7


def test_a_job_says_why_it_waits_and_what_goes_before_it() -> None:
    run, other = make_run(status=RunStatus.COMPLETED), make_run(status=RunStatus.COMPLETED)
    first, second = (Evaluation.objects.ask(run, step, EvalSpec()) for step in (1, 2))
    third = Evaluation.objects.ask(other, 1, EvalSpec())
    assert why_play_waits(first).startswith("no worker is alive")
    assert why_play_waits(first).endswith("; it is next")
    assert why_play_waits(third).endswith("; 1 before it")  # Runs take turns.
    assert why_play_waits(second).endswith("; 2 before it")
    assert first.claim(supervisor.new_owner())
    assert why_play_waits(first) == ""


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_silent_film_is_made_again_and_fails_the_third_time(nth: int) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    evaluation = Evaluation.objects.create(
        run=run, step=1, status=JobStatus.COMPLETED, name="eval_1"
    )
    run.directory.evaluations.mkdir()
    (run.directory.evaluations / ".eval_1.7.tmp.mp4").touch()
    video = Video.objects.owe(evaluation)
    Video.objects.filter(pk=video.pk).update(attempt=nth - 1)
    video.refresh_from_db()
    assert video.claim(f"{supervisor.socket.gethostname()}:999999:x")
    Watchdog().tick()
    video.refresh_from_db()
    assert video.status == (JobStatus.FAILED if nth == 3 else JobStatus.QUEUED)
    assert halves(run) == []


class Replying:
    """Stands in for a process that has ended with a word."""

    def __init__(self, reply: dict[str, object]) -> None:
        self._reply = reply

    def __enter__(self) -> "Replying":
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def send(self, job: object) -> None:
        """Take a job."""

    def wait(self, limit_s: float) -> bool:
        """It has ended."""
        return True

    def kill(self) -> None:
        """It has ended."""

    def reply(self) -> dict[str, object]:
        return self._reply


@pytest.mark.parametrize(
    ("may_pass", "is_full", "status"),
    [(True, False, "queued"), (False, True, "queued"), (False, False, "failed")],
)
def test_what_a_full_disk_stopped_waits_and_is_done_again(
    may_pass: bool, is_full: bool, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_full:
        monkeypatch.setattr(room, "MIN_FREE_BYTES", 1 << 60)
    run = make_run(status=RunStatus.COMPLETED)
    run.directory.path.mkdir(parents=True, exist_ok=True)
    evaluation = Evaluation.objects.ask(run, 1, EvalSpec())
    evaluation.claim(supervisor.new_owner())
    reply = {"reply": "refused", "message": "it stopped", "may_pass": may_pass}
    plays.supervise_evaluation(evaluation, Replying(reply))  # type: ignore[arg-type]
    evaluation.refresh_from_db()
    assert evaluation.status == status
    film = Video.objects.owe(evaluation)
    film.claim(supervisor.new_owner())
    plays.supervise_film(film, Replying(reply))  # type: ignore[arg-type]
    film.refresh_from_db()
    assert film.status == status
