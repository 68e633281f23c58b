"""The watchdog: it rings, it waits long enough, it decides by the log."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest
from pytest_django import Settings

from apps.experiments.models import Evaluation, Run
from apps.experiments.statuses import IllegalMove, JobStatus, RunStatus
from apps.jobs import endings
from apps.jobs.queue import huey
from apps.jobs.verbs import life, logged
from apps.jobs.verbs.naming import Naming
from apps.jobs.worker import watchdog
from apps.jobs.worker.watchdog import Watchdog
from apps.metrics import store
from apps.metrics.columns import SIDE_FILE
from apps.rundir import events
from apps.spec.evaluation import EvalSpec
from apps.spec.logged import LoggedSpec
from tests.builders import make_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


@pytest.fixture(autouse=True)
def no_automatic_resume(settings: Settings) -> None:
    settings.MAX_ATTEMPTS = 0


@pytest.fixture
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def running(owner: str, **fields: object) -> Run:
    run = make_run(status=RunStatus.RUNNING, owner=owner, attempt=1, **fields)
    run.directory.append(events.status(0, "running"), events.episode(40, 12.0, 12, 0))
    return run


def test_it_rings_for_what_waits() -> None:
    huey.flush()
    make_run(status=RunStatus.QUEUED)
    Evaluation.objects.ask(make_run(status=RunStatus.COMPLETED), 1, EvalSpec())
    Watchdog().tick()
    assert huey.pending_count() == 2


def test_it_is_quiet_when_nothing_waits() -> None:
    huey.flush()
    make_run(status=RunStatus.COMPLETED)
    Watchdog().tick()
    assert huey.pending_count() == 0


def test_it_keeps_the_columns_of_what_outside_scripts_log() -> None:
    run, _ = logged.begin(LoggedSpec(), Naming("outside", "Scripts"))
    Watchdog().tick()
    assert not run.directory.log.with_name(SIDE_FILE).exists()
    run.directory.append(*[events.metrics(0, {"train/loss": 1.5})] * 15_000)
    Watchdog().tick()
    assert run.directory.log.with_name(SIDE_FILE).exists()


def test_a_run_of_a_dead_process_of_this_machine_is_lost_at_once(dead_pid: int) -> None:
    run = running(f"{socket.gethostname()}:{dead_pid}:x")
    Watchdog().tick()
    run.refresh_from_db()
    assert (run.status, run.status_reason) == (RunStatus.LOST, "Its worker vanished.")
    assert (run.step, run.episodes) == (40, 1)
    assert store.tail(run.directory.log, 0).events[-1]["status"] == "lost"


@pytest.mark.parametrize(("ask", "status"), [(life.stop, "stopped"), (life.pause, "paused")])
def test_a_run_asked_to_end_as_its_process_dies_ends_as_asked(
    ask: Callable[[Run], Run], status: str, dead_pid: int
) -> None:
    run = running(f"{socket.gethostname()}:{dead_pid}:x")
    ask(Run.objects.get(pk=run.pk))
    with pytest.raises(IllegalMove):  # Whoever read it before that does not queue it again.
        run.move_to(RunStatus.QUEUED)
    endings.end_lost(run, "Its worker vanished.")
    assert run.status == status
    assert "Its worker vanished." in run.status_reason


def test_a_run_goes_on_by_itself_as_often_as_allowed(settings: Settings, dead_pid: int) -> None:
    settings.MAX_ATTEMPTS = 2
    run = running(f"{socket.gethostname()}:{dead_pid}:x")
    dog = Watchdog()
    for nth in (1, 2, 3):
        dog.tick()
        run.refresh_from_db()
        assert run.status == (RunStatus.QUEUED if nth < 3 else RunStatus.LOST)
        assert run.auto_resumes == min(nth, 2)
        if nth < 3:
            assert run.claim(f"{socket.gethostname()}:{dead_pid}:x")
    assert run.attempt == 3


def test_a_run_that_was_asked_to_stop_does_not_go_on_by_itself(
    settings: Settings, dead_pid: int
) -> None:
    settings.MAX_ATTEMPTS = 2
    run = running(f"{socket.gethostname()}:{dead_pid}:x")
    life.stop(run)
    Watchdog().tick()
    run.refresh_from_db()
    assert run.status == RunStatus.STOPPED


def test_a_run_that_its_log_says_completed_is_completed(dead_pid: int) -> None:
    run = running(f"{socket.gethostname()}:{dead_pid}:x")
    run.directory.append(events.status(256, "completed"))
    Watchdog().tick()
    run.refresh_from_db()
    assert run.status == RunStatus.COMPLETED
    assert store.tail(run.directory.log, 0).events[-1]["status"] == "completed"


def test_a_silent_run_elsewhere_is_lost_after_the_lease_and_a_beating_one_is_not(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.HEARTBEAT_S = 1
    silent, beating = running("elsewhere:1:x"), running("elsewhere:2:y")
    clock = iter([0.0, 9.0, 10.5, 12.0])
    monkeypatch.setattr(watchdog.time, "monotonic", lambda: now)
    dog = Watchdog()
    for now in clock:
        dog.tick()
        assert beating.beat()
        silent.refresh_from_db()
        expected = RunStatus.LOST if now > 10 else RunStatus.RUNNING
        assert silent.status == expected
    beating.refresh_from_db()
    assert beating.status == RunStatus.RUNNING


def test_a_run_of_a_living_process_is_left_alone() -> None:
    run = running(f"{socket.gethostname()}:{os.getpid()}:x")
    Watchdog().tick()
    run.refresh_from_db()
    assert run.status == RunStatus.RUNNING


def test_a_trainer_that_outlives_its_supervisor_is_ended(dead_pid: int) -> None:
    run = running(f"{socket.gethostname()}:{dead_pid}:x")
    code = (
        "import sys, time; from pathlib import Path; "
        "from apps.rundir.directory import RunDirectory\n"
        "with RunDirectory(Path(sys.argv[1])).locked(): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, str(run.directory.path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    Watchdog().tick()
    assert holder.wait(timeout=5) == -9
    run.refresh_from_db()
    assert run.status == RunStatus.LOST


def test_a_silent_evaluation_is_tried_again_and_fails_the_third_time(dead_pid: int) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    evaluation = Evaluation.objects.ask(run, 1, EvalSpec())
    dog = Watchdog()
    for attempt in (1, 2, 3):
        assert evaluation.claim(f"{socket.gethostname()}:{dead_pid}:x")
        assert evaluation.attempt == attempt
        dog.tick()
        evaluation.refresh_from_db()
        expected = JobStatus.FAILED if attempt == 3 else JobStatus.QUEUED
        assert evaluation.status == expected
    assert "three times" in evaluation.error
