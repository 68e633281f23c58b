"""Trouble about one run concerns that run alone: it fails with the true reason, or waits."""

import errno
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from django.db import OperationalError, connection
from pytest_django import Settings

from apps.errors import DiskFull
from apps.experiments.models import Evaluation, Run
from apps.experiments.statuses import JobStatus, RunStatus
from apps.jobs import endings, presence, tasks
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import checking, life
from apps.jobs.verbs.waiting import why_it_waits, why_play_waits
from apps.jobs.worker import plays, supervisor
from apps.jobs.worker.watchdog import Watchdog
from apps.rundir import events
from apps.spec.evaluation import EvalSpec
from tests.builders import TINY_PPO, make_run
from tests.full_disk import empty, fill, small_disk

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]
MB = 1 << 20


@pytest.fixture
def quiet_worker(settings: Settings) -> Iterator[None]:
    settings.WARM_TRAINER = False
    supervisor.reserve.cache_clear()
    supervisor.training_slots.cache_clear()
    yield
    supervisor.reserve.cache_clear()
    supervisor.training_slots.cache_clear()


@pytest.fixture
def disk(home: Path, settings: Settings) -> Iterator[Path]:
    """A disk of 32 MB that holds the run directories."""
    with small_disk(home / "disk", 32) as disk:
        settings.MEDIA_ROOT = disk
        settings.RUNS_ROOT = disk / "runs"
        yield disk


def vanished() -> Run:
    """A running run whose worker is gone."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    owner = f"{socket.gethostname()}:{process.pid}:x"
    run = make_run(status=RunStatus.RUNNING, owner=owner, attempt=1)
    run.directory.append(events.status(0, "running"), events.episode(40, 12.0, 12, 0))
    return run


def delete_directory(run: Run) -> None:
    shutil.rmtree(run.directory.path)


def be_a_file(run: Run) -> None:
    delete_directory(run)
    run.directory.path.write_text("no directory")


def log_is_a_folder(run: Run) -> None:
    run.directory.log.unlink()
    run.directory.log.mkdir()


def log_goes_in_a_circle(run: Run) -> None:
    run.directory.log.unlink()
    run.directory.log.symlink_to(run.directory.log)


def lock_is_in_a_circle(run: Run) -> None:
    run.directory.lock_file.symlink_to(run.directory.lock_file)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (delete_directory, r"its run directory .* is gone"),
        (be_a_file, r"its run directory .* is gone|Not a directory"),
        (log_is_a_folder, "is not a plain file"),
        (log_goes_in_a_circle, "is not a plain file"),
        (lock_is_in_a_circle, "is not a plain file"),
    ],
)
def test_a_run_whose_files_cannot_be_read_fails_alone_and_says_why(
    spoil: Callable[[Run], None], reason: str
) -> None:
    before, spoilt, after = vanished(), vanished(), vanished()
    spoil(spoilt)
    Watchdog().tick()
    for run in (before, spoilt, after):
        run.refresh_from_db()
    assert (before.status, after.status) == (RunStatus.QUEUED, RunStatus.QUEUED)
    assert spoilt.status == RunStatus.FAILED
    assert re.search(reason, spoilt.status_reason)
    assert "Traceback" in spoilt.error


def test_a_row_that_cannot_be_judged_at_all_stops_no_other() -> None:
    odd, next_one = vanished(), vanished()
    Run.objects.filter(pk=odd.pk).update(owner=f"{socket.gethostname()}:x:y")
    Watchdog().tick()
    next_one.refresh_from_db()
    assert next_one.status == RunStatus.QUEUED
    odd.refresh_from_db()
    assert odd.status == RunStatus.FAILED
    assert "ValueError" in odd.status_reason


def test_what_a_tick_raises_ends_no_worker(caplog: pytest.LogCaptureFixture) -> None:
    def fall_over() -> None:
        raise ZeroDivisionError("of a tick")

    tasks.survive(fall_over)
    assert "of a tick" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("quiet_worker")
def test_a_run_whose_directory_is_deleted_while_it_trains_ends_at_once_and_says_so() -> None:
    run = life.launch(checking.check_spec({**TINY_PPO, "total_timesteps": 10_000_000}))
    assert run.claim(supervisor.new_owner())
    trainer = TrainerProcess(*TRAINER)

    def delete_once_training(now: Run) -> None:
        if now.step > 0:
            shutil.rmtree(now.directory.path, ignore_errors=True)

    supervisor.supervise_run(run, trainer, lambda: None, delete_once_training)
    assert run.status == RunStatus.FAILED
    assert run.status_reason == f"its run directory {run.directory.path} is gone"
    assert not trainer.is_running()


@pytest.mark.usefixtures("quiet_worker")
def test_a_queued_run_whose_directory_is_gone_fails_and_the_next_one_has_its_turn() -> None:
    gone = life.launch(checking.check_spec(TINY_PPO))
    shutil.rmtree(gone.directory.path)
    following = life.launch(checking.check_spec({**TINY_PPO, "seed": 2}))
    supervisor.train_queued(lambda: None)
    gone.refresh_from_db()
    following.refresh_from_db()
    assert (gone.status, following.status) == (RunStatus.FAILED, RunStatus.COMPLETED)
    assert gone.status_reason == f"its run directory {gone.directory.path} is gone"


@pytest.mark.usefixtures("quiet_worker")
def test_an_evaluation_of_a_run_whose_directory_is_gone_fails_alone() -> None:
    run = make_run(status=RunStatus.COMPLETED)
    evaluation = Evaluation.objects.ask(run, 1, EvalSpec())
    shutil.rmtree(run.directory.path)
    plays.evaluate_queued(lambda: None)
    evaluation.refresh_from_db()
    assert evaluation.status == JobStatus.FAILED
    assert evaluation.error


@pytest.mark.slow
@pytest.mark.usefixtures("quiet_worker")
def test_training_goes_on_while_the_database_cannot_be_written() -> None:
    run = life.launch(checking.check_spec({**TINY_PPO, "total_timesteps": 10_000_000}))
    assert run.claim(supervisor.new_owner())
    path = connection.settings_dict["NAME"]
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout = 50")
    steps: list[int] = []
    released = threading.Event()

    def hold_the_database() -> None:
        holder = sqlite3.connect(path, isolation_level=None, uri="mode=memory" in str(path))
        holder.execute("BEGIN IMMEDIATE")
        locked.set()
        threading.Event().wait(4)
        holder.execute("ROLLBACK")
        holder.close()
        released.set()

    locked = threading.Event()
    thread = threading.Thread(target=hold_the_database)

    def lock_then_stop(now: Run) -> None:
        steps.append(now.step)
        if now.step > 0 and not locked.is_set():
            thread.start()
            locked.wait()
        elif released.is_set() and now.status == RunStatus.RUNNING:
            life.stop(Run.objects.get(pk=now.pk))

    supervisor.supervise_run(run, TrainerProcess(*TRAINER), lambda: None, lock_then_stop)
    thread.join()
    connection.close()  # It would keep its impatience.
    assert (run.status, run.attempt) == (RunStatus.STOPPED, 1)


@pytest.mark.usefixtures("quiet_worker")
def test_a_queued_run_waits_for_a_full_disk_and_says_so(disk: Path, home: Path) -> None:
    run = life.launch(checking.check_spec(TINY_PPO))
    evaluation = Evaluation.objects.ask(make_run(status=RunStatus.COMPLETED), 1, EvalSpec())
    fill(disk)
    for _ in range(3):
        supervisor.train_queued(lambda: None)
        plays.evaluate_queued(lambda: None)
    run.refresh_from_db()
    evaluation.refresh_from_db()
    assert (run.status, run.attempt) == (RunStatus.QUEUED, 0)
    assert (evaluation.status, evaluation.attempt) == (JobStatus.QUEUED, 0)
    with presence.announced(home, presence.Worker(1, 1)):
        told = f"the disk is full: {disk} has 0.0 KB of 8.0 MB"
        assert why_it_waits(run).startswith(told)
        assert why_play_waits(evaluation).startswith(told)
    empty(disk)
    supervisor.train_queued(lambda: None)
    run.refresh_from_db()
    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 1)


def test_a_vanished_run_is_settled_though_its_log_takes_no_line(disk: Path) -> None:
    run = vanished()
    lines = run.directory.log.read_bytes()
    size = 4096  # Not a byte fits into the last page.
    run.directory.log.write_bytes(lines + b" " * (size - 1 - len(lines)) + b"\n")
    fill(disk)
    Watchdog().tick()
    run.refresh_from_db()
    assert (run.status, run.auto_resumes) == (RunStatus.QUEUED, 1)
    assert run.directory.log.stat().st_size == size


def test_a_run_that_a_full_disk_refuses_leaves_nothing(disk: Path, settings: Settings) -> None:
    spec = checking.check_spec(TINY_PPO)
    life.create(spec)
    fill(disk)
    with pytest.raises(DiskFull, match="disk is full"):
        life.create(spec)
    assert len(list(Path(settings.RUNS_ROOT).iterdir())) == Run.objects.count() == 1


def test_a_run_that_the_database_refuses_leaves_nothing(settings: Settings) -> None:
    spec = checking.check_spec(TINY_PPO)
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA query_only = ON")
    try:
        with pytest.raises(OperationalError):
            life.create(spec)
    finally:
        with connection.cursor() as cursor:
            cursor.execute("PRAGMA query_only = OFF")
    assert not Run.objects.exists()
    assert not list(Path(settings.RUNS_ROOT).iterdir())


def test_an_evaluation_for_which_no_process_is_to_be_had_is_tried_three_times() -> None:
    evaluation = Evaluation.objects.ask(make_run(status=RunStatus.COMPLETED), 1, EvalSpec())
    for attempt in (1, 2, 3):
        assert evaluation.claim(supervisor.new_owner())
        endings.settle(evaluation, BlockingIOError(errno.EAGAIN, "no process"))
        evaluation.refresh_from_db()
        assert evaluation.status == (JobStatus.FAILED if attempt == 3 else JobStatus.QUEUED)
    assert "no process" in evaluation.error


@pytest.mark.usefixtures("quiet_worker")
def test_what_waits_for_a_process_is_tried_once_a_ring_and_not_in_circles(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = life.launch(checking.check_spec(TINY_PPO))
    evaluation = Evaluation.objects.ask(make_run(status=RunStatus.COMPLETED), 1, EvalSpec())

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "no process")

    with monkeypatch.context() as machine:
        machine.setattr(subprocess, "Popen", refuse)
        supervisor.train_queued(lambda: None)
        plays.evaluate_queued(lambda: None)
    run.refresh_from_db()
    evaluation.refresh_from_db()
    assert (run.status, run.attempt, run.auto_resumes) == (RunStatus.QUEUED, 1, 0)
    assert (evaluation.status, evaluation.attempt) == (JobStatus.QUEUED, 1)


def test_a_worker_waits_until_a_full_disk_takes_its_name(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "FULL_DISK_RETRY_S", 0.05)
    (disk / presence.FOLDER).mkdir()
    fill(disk)
    freed = threading.Timer(0.5, empty, [disk])
    freed.start()
    with presence.announced(disk, presence.Worker(2, 3)):
        freed.join()
        assert presence.living(disk) == [presence.Worker(2, 3)]
    with suppress(FileNotFoundError):
        empty(disk)
