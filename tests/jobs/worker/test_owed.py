"""What follows a run is owed: a worker may die at any instant around its end, and none is lost."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest
from pytest_django import Settings

from apps.experiments.models import Evaluation, Run
from apps.experiments.statuses import JobStatus, RunStatus
from apps.jobs import rows
from apps.jobs.rows import LogCopier
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import checking, life
from apps.jobs.worker import plays, supervisor
from apps.jobs.worker.watchdog import Watchdog
from apps.spec.evaluation import EvalSpec
from tests.builders import TINY_PPO, make_run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("home", "quiet_worker"),
]


@pytest.fixture
def quiet_worker(settings: Settings) -> Iterator[None]:
    settings.WARM_TRAINER = False
    supervisor.reserve.cache_clear()
    yield
    supervisor.reserve.cache_clear()


def dead_owner() -> str:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return f"{socket.gethostname()}:{process.pid}:x"


def trained_without_a_word_to_its_row(**changes: object) -> Run:
    """A run whose worker died after the log's last line and before it wrote a row."""
    run = life.launch(checking.check_spec({**TINY_PPO, "eval_episodes": 3, **changes}))
    assert run.claim(dead_owner())
    with TrainerProcess(*TRAINER) as trainer:
        trainer.send({"job": "train", "directory": str(run.directory.path)})
        assert trainer.wait(60)
        assert trainer.reply()["reply"] == "done"
    assert not run.checkpoints.exists()
    return run


def test_a_worker_that_dies_as_its_run_ends_leaves_the_evaluation_owed() -> None:
    run = trained_without_a_word_to_its_row(film=False)
    for _ in range(3):
        Watchdog().tick()
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED
    evaluation = run.evaluations.get()
    assert (evaluation.status, evaluation.step) == (JobStatus.QUEUED, 256)
    assert (evaluation.n_episodes, evaluation.should_film) == (3, False)


def test_every_milestone_is_owed() -> None:
    run = trained_without_a_word_to_its_row(milestones=True, total_timesteps=640)
    asked = list(range(64, 641, 64))
    Evaluation.objects.ask(run, asked[0], EvalSpec())  # This one was asked for before it died.
    Watchdog().tick()
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED
    assert sorted(run.evaluations.values_list("step", flat=True)) == asked


def test_the_next_attempt_asks_for_what_the_last_one_owed() -> None:
    run = trained_without_a_word_to_its_row(milestones=True, total_timesteps=640)
    # The row still says running; its next supervisor finds the log complete.
    Run.objects.filter(pk=run.pk).update(status=RunStatus.QUEUED, owner="")
    run.refresh_from_db()
    assert run.claim(supervisor.new_owner())
    supervisor.supervise_run(run, TrainerProcess(*TRAINER), lambda: None)
    assert run.status == RunStatus.COMPLETED
    steps = sorted(run.evaluations.values_list("step", flat=True))
    assert steps == [*range(64, 641, 64)]


def test_of_several_who_look_at_once_one_asks() -> None:
    run = trained_without_a_word_to_its_row()
    _, asked = LogCopier(run).advance()
    told: list[bool] = []
    threads = [
        threading.Thread(target=lambda: told.append(rows.ask_owed(run, asked))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told) == [False, False, False, True]
    assert run.evaluations.count() == 1


def test_what_was_superseded_or_pruned_is_not_owed() -> None:
    run = make_run(status=RunStatus.RUNNING, owner="elsewhere:1:x", attempt=1)
    assert rows.ask_owed(run, [64, 128]) is False
    assert not run.evaluations.exists()


def test_an_evaluation_is_completed_with_all_that_follows_or_not_at_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    evaluation = Evaluation.objects.ask(run, 1, EvalSpec())
    assert evaluation.claim(supervisor.new_owner())
    result = {"name": "eval_1", "return_mean": 1.0}

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(rows, "update_evaluation_summary", die)
    with pytest.raises(KeyboardInterrupt):
        plays._finish_evaluation(evaluation, {"reply": "done", "result": result})
    assert Evaluation.objects.get(pk=evaluation.pk).status == JobStatus.RUNNING
    assert not evaluation.run.videos.exists()
