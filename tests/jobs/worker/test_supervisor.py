"""Supervisors with real trainer processes: from the queue to rows."""

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.statuses import JobStatus, RunStatus
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import checking, life, refusals
from apps.jobs.verbs.checking import Asker
from apps.jobs.verbs.naming import Naming
from apps.jobs.worker import plays, supervisor
from apps.jobs.worker.requests import SHUTDOWN_REASON
from apps.metrics import store
from apps.metrics.columns import SIDE_FILE
from apps.rundir import events
from apps.spec.evaluation import EvalSpec
from tests.builders import TINY_PPO, GiveTrained, make_run

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("home", "quiet_worker"),
    pytest.mark.slow,
]


class Bell:
    """Counts how often it was rung."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


def claimed(**changes: object) -> Run:
    run = life.launch(checking.check_spec({**TINY_PPO, **changes}, Asker.TERMINAL))
    assert run.claim(supervisor.new_owner())
    return run


def test_a_queued_run_is_trained_evaluated_and_filmed() -> None:
    run = life.launch(checking.check_spec({**TINY_PPO, "eval_episodes": 2}))
    bell = Bell()
    supervisor.train_queued(bell)
    run.refresh_from_db()
    assert (run.status, run.step, run.progress) == (RunStatus.COMPLETED, 256, 1.0)
    assert run.episodes > 3
    assert run.return_last is not None
    assert run.return_best >= run.return_last
    assert run.length_mean == pytest.approx(run.return_mean)  # CartPole pays 1 a step.
    assert run.log_cursor == run.directory.log.stat().st_size
    assert [checkpoint.step for checkpoint in run.checkpoints.all()] == [256]
    assert bell.count == 1
    plays.evaluate_queued(bell)
    evaluation = Evaluation.objects.get()
    assert (evaluation.status, evaluation.step) == (JobStatus.COMPLETED, 256)
    assert len(evaluation.result["episodes"]) == 2
    run.refresh_from_db()
    assert run.evaluation_last == run.evaluation_best == evaluation.return_mean
    assert Video.objects.get().status == JobStatus.QUEUED  # The figures waited for no film.
    assert bell.count == 2
    plays.film_queued()
    video = Video.objects.get()
    assert video.status == JobStatus.COMPLETED
    assert video.evaluation == evaluation
    assert (run.directory.path / video.path).stat().st_size == video.size_bytes


def test_a_run_that_is_not_to_be_filmed_is_evaluated_without() -> None:
    life.launch(checking.check_spec({**TINY_PPO, "film": False}))
    supervisor.train_queued(Bell())
    assert Evaluation.objects.get().should_film is False


def test_queued_runs_are_trained_oldest_first_and_each_once() -> None:
    runs = [life.launch(checking.check_spec({**TINY_PPO, "seed": seed})) for seed in (1, 2, 3)]
    supervisor.train_queued(Bell())
    for run in runs:
        run.refresh_from_db()
    assert [run.status for run in runs] == [RunStatus.COMPLETED] * 3
    assert [run.attempt for run in runs] == [1, 1, 1]
    assert runs[0].started_at < runs[1].started_at < runs[2].started_at


def test_a_long_log_is_kept_as_columns_by_the_end_of_its_run() -> None:
    run = claimed()
    run.directory.append(*[events.metrics(0, {"train/loss": 1.5})] * 15_000)
    supervisor.supervise_run(run, TrainerProcess(*TRAINER), Bell())
    assert run.status == RunStatus.COMPLETED
    assert run.directory.log.with_name(SIDE_FILE).stat().st_size > 15_000 * 8


def test_a_busy_worker_leaves_the_queue_alone() -> None:
    run = life.launch(checking.check_spec(TINY_PPO))
    assert supervisor.training_slots().acquire(blocking=False)
    supervisor.train_queued(Bell())
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED


def test_a_stop_reaches_the_trainer_and_leaves_a_checkpoint() -> None:
    run = claimed(total_timesteps=10_000_000)

    def stop_once_training(now: Run) -> None:
        if now.step > 0 and now.stop_requested_at is None:
            life.stop(Run.objects.get(pk=now.pk), "seen enough")
            now.refresh_from_db()

    supervisor.supervise_run(run, TrainerProcess(*TRAINER), Bell(), stop_once_training)
    assert (run.status, run.status_reason) == (RunStatus.STOPPED, "seen enough")
    assert run.checkpoints.count() == 1
    assert run.progress < 1


def test_a_save_reaches_the_trainer_which_goes_on() -> None:
    run = claimed(total_timesteps=10_000_000, save_freq=10_000_000)
    saved_at: list[int] = []

    def save_once_training_then_stop(now: Run) -> None:
        row = Run.objects.get(pk=now.pk)
        if now.step > 0 and not saved_at:
            life.save(row)
            saved_at.append(now.step)
        elif saved_at and row.save_requested_at is None and row.stop_requested_at is None:
            assert row.checkpoints.get().step >= saved_at[0]
            life.stop(row)
            with pytest.raises(refusals.Refused, match="about to end, with a checkpoint"):
                life.save(row)

    supervisor.supervise_run(run, TrainerProcess(*TRAINER), Bell(), save_once_training_then_stop)
    assert (run.status, run.save_requested_at) == (RunStatus.STOPPED, None)
    assert run.checkpoints.count() == 2


def test_the_end_of_the_worker_queues_its_run_again_and_the_next_goes_on() -> None:
    run = claimed(total_timesteps=10_000_000)

    def end_once_training(now: Run) -> None:
        if now.step > 0:
            supervisor.shutdown.set()

    supervisor.supervise_run(run, TrainerProcess(*TRAINER), Bell(), end_once_training)
    assert (run.status, run.status_reason) == (RunStatus.QUEUED, SHUTDOWN_REASON)
    saved = run.checkpoints.get().step
    supervisor.shutdown.clear()
    assert run.claim(supervisor.new_owner())
    assert run.attempt == 2

    def stop_further_on(now: Run) -> None:
        if now.status == RunStatus.RUNNING and now.step > saved:
            supervisor.shutdown.set()

    supervisor.supervise_run(run, TrainerProcess(*TRAINER), Bell(), stop_further_on)
    assert run.fidelity == "exact"
    assert run.checkpoints.order_by("-step")[0].step > saved


def test_a_run_that_breaks_keeps_its_traceback(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "breaking.py").write_text(
        "import gymnasium\n"
        "from gymnasium import spaces\n"
        "class Breaking(gymnasium.Env):\n"
        "    observation_space = action_space = spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        raise ValueError('the simulator fell over')\n"
        "gymnasium.register('Breaking-v0', entry_point=Breaking)\n"
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    run = claimed(environment="breaking:Breaking-v0")
    supervisor.supervise_run(run, TrainerProcess(*TRAINER), Bell())
    assert run.status == RunStatus.FAILED
    assert run.status_reason == "ValueError: the simulator fell over"
    assert "Traceback" in run.error
    assert "in reset" in run.error


@pytest.mark.parametrize(("max_attempts", "status"), [(0, "lost"), (3, "queued")])
def test_a_run_whose_trainer_is_killed_goes_on_by_itself_or_is_lost(
    settings: Settings, max_attempts: int, status: str
) -> None:
    settings.MAX_ATTEMPTS = max_attempts
    run = claimed(total_timesteps=10_000_000)
    trainer = TrainerProcess(*TRAINER)

    def kill_once_training(now: Run) -> None:
        if now.status == RunStatus.RUNNING and now.step > 0:
            os.kill(trainer.pid, signal.SIGKILL)

    supervisor.supervise_run(run, trainer, Bell(), kill_once_training)
    assert run.status == status
    assert "SIGKILL" in run.status_reason
    assert run.auto_resumes == (1 if max_attempts else 0)
    last = store.tail(run.directory.log, 0, max_bytes=1 << 24).events[-1]
    assert (last["type"], last["status"]) == ("status", status)


def test_a_supervisor_that_was_given_up_on_ends_its_trainer_and_changes_nothing() -> None:
    run = claimed(total_timesteps=10_000_000)
    trainer = TrainerProcess(*TRAINER)

    def be_replaced(now: Run) -> None:
        if now.step > 0:
            Run.objects.filter(pk=now.pk).update(owner="elsewhere:1:x", attempt=2, step=7)

    supervisor.supervise_run(run, trainer, Bell(), be_replaced)
    assert not trainer.is_running()
    row = Run.objects.get(pk=run.pk)
    assert (row.status, row.owner, row.step) == (RunStatus.RUNNING, "elsewhere:1:x", 7)


def test_an_evaluation_of_a_damaged_checkpoint_fails_in_words(give_trained: GiveTrained) -> None:
    run = give_trained()
    (run.directory.checkpoints / "256" / "model.zip").write_bytes(b"not a zip")
    plays.evaluate_queued(Bell())
    evaluation = Evaluation.objects.get()
    assert evaluation.status == JobStatus.FAILED
    assert "does not match its manifest" in evaluation.error
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED


def test_a_checkpoint_that_was_exchanged_with_its_manifest_is_never_unpickled(
    give_trained: GiveTrained,
) -> None:
    other = give_trained("Acrobot-v1")
    other.evaluations.all().delete()
    run = give_trained()
    folder = run.directory.checkpoints / "256"
    shutil.rmtree(folder)
    shutil.copytree(other.directory.checkpoints / "256", folder)
    plays.evaluate_queued(Bell())
    evaluation = run.evaluations.get()
    assert evaluation.status == JobStatus.FAILED
    assert "not the one that was recorded" in evaluation.error


def test_an_evaluation_goes_back_to_the_queue_when_the_worker_ends() -> None:
    run = make_run(status=RunStatus.COMPLETED)
    evaluation = Evaluation.objects.ask(run, 256, EvalSpec())
    assert evaluation.claim(supervisor.new_owner())
    supervisor.shutdown.set()
    trainer = TrainerProcess(*TRAINER)  # Still importing when the first beat comes.
    plays.supervise_evaluation(evaluation, trainer)
    evaluation.refresh_from_db()
    assert evaluation.status == JobStatus.QUEUED
    assert not trainer.is_running()


def test_two_workers_in_one_queue_train_every_run_once(settings: Settings) -> None:
    settings.WORKERS = 2
    runs = [life.launch(checking.check_spec({**TINY_PPO, "seed": seed})) for seed in range(4)]
    threads = [threading.Thread(target=supervisor.train_queued, args=(Bell(),)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for run in runs:
        run.refresh_from_db()
        statuses = [
            event["status"]
            for event in store.tail(run.directory.log, 0).events
            if event["type"] == "status"
        ]
        assert statuses == ["draft", "queued", "running", "completed"]
        assert run.attempt == 1


def test_the_command_is_kept_in_the_provenance() -> None:
    run = life.launch(checking.check_spec(TINY_PPO), Naming(command="manage.py train"))
    supervisor.train_queued(Bell())
    assert json.loads(run.directory.provenance.read_text())["command"] == "manage.py train"


def test_the_reserve_gives_a_warm_trainer_and_closes() -> None:
    reserve = supervisor.Reserve(is_enabled=True)
    reserve.fill()
    trainer = reserve.take()
    deadline = time.monotonic() + 30
    while trainer._reply is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert trainer._reply == {"reply": "ready"}
    with trainer:
        assert trainer.is_running()
    assert not trainer.is_running()
    reserve.fill()
    waiting = reserve._waiting
    assert waiting is not None
    reserve.close()
    assert not waiting.is_running()


@pytest.mark.parametrize(("status", "is_warm"), [("queued", False), ("completed", True)])
def test_no_trainer_is_warmed_while_runs_wait(
    settings: Settings, status: str, is_warm: bool
) -> None:
    settings.WARM_TRAINER = True
    make_run(status=status)
    supervisor.reserve.cache_clear()
    supervisor.refill_reserve()
    waiting = supervisor.reserve()._waiting
    supervisor.reserve().close()
    supervisor.reserve.cache_clear()
    assert waiting is not None
    assert ("--warm" in waiting._process.args) == is_warm
