"""Runs whose terminal or worker is gone, where no worker lives: put right by whoever is asked."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.utils import timezone

from apps.accounts.models import ApiToken
from apps.experiments.models import Run
from apps.experiments.models.leases import TERMINAL
from apps.experiments.statuses import IllegalMove, RunStatus
from apps.jobs import presence
from apps.jobs.verbs import life, lineage, refusals, vanished
from apps.jobs.worker import supervisor
from apps.metrics import store
from apps.rundir import events
from tests.builders import give_checkpoint, make_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]

VERBS: dict[str, Callable[[Run], Run]] = {
    "resume": lineage.resume,
    "retry": lineage.retry,
    "reproduce": lineage.reproduce,
    "continue": lambda run: lineage.continue_run(run, 100),
    "branch": lambda run: lineage.branch(run, "last", {"total_timesteps": 999}),
}


@pytest.fixture(scope="module")
def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def running(pid: int, kind: str = TERMINAL, **fields: Any) -> Run:
    """Make a run that says it runs under a process, with a checkpoint that its row knows not."""
    owner = f"{socket.gethostname()}:{pid}:abcd:{kind}"
    values = {"owner": owner, "attempt": 1, "beat_at": timezone.now(), **fields}
    run = make_run(status=RunStatus.RUNNING, **values)
    row = give_checkpoint(run, 128)
    run.directory.append(
        events.status(0, "running"),
        events.episode(120, 12.0, 12, 0),
        events.checkpoint(128, 9, True, False, row.sha256),
    )
    row.delete()
    return run


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("kind", [TERMINAL, "worker"])
def test_every_verb_that_goes_on_sees_that_the_process_is_gone(
    dead_pid: int, verb: str, kind: str
) -> None:
    run = running(dead_pid, kind)
    made = VERBS[verb](run)
    assert made.status == RunStatus.QUEUED
    run.refresh_from_db()
    assert run.status == (RunStatus.QUEUED if verb == "resume" else RunStatus.LOST)
    assert (run.step, run.checkpoints.get().step, run.auto_resumes) == (128, 128, 0)
    said = [e for e in store.tail(run.directory.log, 0).events if e["type"] == "status"]
    assert "lost" in [event["status"] for event in said]


@pytest.mark.parametrize("verb", VERBS)
def test_over_rest_likewise(dead_pid: int, verb: str, admin_user: Any) -> None:
    bodies = {
        "continue": {"more_timesteps": 50},
        "branch": {"changes": {"total_timesteps": 999}},
    }
    token = ApiToken.objects.issue(admin_user, "tests")
    api = Client(headers={"Authorization": f"Bearer {token}"})
    answer = api.post(
        f"/api/v1/runs/{running(dead_pid).pk}/{verb}",
        json.dumps(bodies.get(verb)),
        content_type="application/json",
    )
    assert answer.status_code in {201, 202}, answer.content
    assert answer.json()["status"] == "queued"


@pytest.mark.parametrize("verb", VERBS)
def test_a_run_whose_process_lives_is_left_alone(verb: str) -> None:
    run = running(os.getpid())
    with pytest.raises((IllegalMove, refusals.Refused), match=r"is running|that is running"):
        VERBS[verb](run)
    assert Run.objects.get().status == RunStatus.RUNNING


def test_a_run_whose_trainer_holds_the_lock_is_left_alone(dead_pid: int) -> None:
    run = running(dead_pid)
    code = (
        "import sys, pathlib; from apps.rundir.directory import RunDirectory\n"
        "with RunDirectory(pathlib.Path(sys.argv[1])).locked(): print(flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(run.directory.path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        holder.stdout.readline()
        assert vanished.settle(run, patience_s=0.1).status == RunStatus.RUNNING
        holder.stdin.close()
        holder.wait()
        # One that is just saving is waited for.
        assert vanished.settle(run).status == RunStatus.LOST


def test_a_silent_supervisor_elsewhere_is_given_up_and_one_that_beats_is_not(
    dead_pid: int,
) -> None:
    elsewhere = f"elsewhere:{dead_pid}:abcd:{TERMINAL}"
    run = running(dead_pid, owner=elsewhere)
    assert not vanished.is_gone(run)
    run.beat_at = timezone.now() - timedelta(seconds=2 * run.lease_s)
    assert vanished.is_gone(run)
    run.kind = "logged"
    assert not vanished.is_gone(run)


def test_a_run_ends_as_its_log_says(dead_pid: int) -> None:
    run = running(dead_pid)
    run.directory.append(events.status(256, "completed"))
    assert vanished.settle(run).status == RunStatus.COMPLETED
    with pytest.raises(IllegalMove, match="completed cannot become queued"):
        lineage.resume(run)


@pytest.mark.parametrize(("ask", "status"), [(life.stop, "stopped"), (life.pause, "paused")])
def test_asked_to_end_after_its_terminal_is_gone_it_ends_as_asked(
    dead_pid: int, ask: Callable[[Run], Run], status: str
) -> None:
    run = ask(running(dead_pid))
    assert (run.status, run.stop_as) == (status, status)
    assert lineage.resume(run).status == RunStatus.QUEUED


def test_saving_after_its_terminal_is_gone_is_refused_in_words(dead_pid: int) -> None:
    with pytest.raises(refusals.Refused, match="is lost; only a run that goes on running saves"):
        life.save(running(dead_pid))


def test_somebody_who_was_first_wins(dead_pid: int) -> None:
    run = running(dead_pid)
    Run.objects.filter(pk=run.pk).update(status=RunStatus.QUEUED)
    assert vanished.settle(run).status == RunStatus.QUEUED


def test_a_refusal_never_lists_the_move_that_was_asked_for() -> None:
    with pytest.raises(IllegalMove) as caught:
        lineage.resume(running(os.getpid()))
    assert caught.value.wanted == "queued"
    assert "queued" not in caught.value.legal
    assert "legal moves: completed, failed, stopped, paused, lost" in str(caught.value)
    with pytest.raises(IllegalMove, match="lost cannot become queued; legal moves: none this"):
        life.queue(make_run(status=RunStatus.LOST))
    with pytest.raises(IllegalMove, match="none: this is final"):
        lineage.resume(make_run(status=RunStatus.COMPLETED))


class TestCommands:
    def call(self, name: str, *arguments: str) -> tuple[str, str]:
        out, err = StringIO(), StringIO()
        call_command(name, *arguments, stdout=out, stderr=err)
        return out.getvalue(), err.getvalue()

    @pytest.mark.parametrize("command", ["run", "runs"])
    def test_lists_show_no_dead_terminal_s_run_as_running(
        self, dead_pid: int, command: str
    ) -> None:
        run = running(dead_pid)
        out, _ = self.call(command, *([run.pk] if command == "run" else []), "--json")
        shown = json.loads(out)
        assert (shown if command == "run" else shown[0])["status"] == "lost"
        assert "`resume` goes on" in Run.objects.get().status_reason

    def test_what_a_worker_trained_waits_for_the_next_one(self, dead_pid: int) -> None:
        running(dead_pid, "worker")
        self.call("runs")
        run = Run.objects.get()
        assert (run.status, run.auto_resumes) == (RunStatus.QUEUED, 1)

    def test_where_a_worker_lives_its_watchdog_decides(self, dead_pid: int, home: Any) -> None:
        running(dead_pid)
        with presence.announced(home, presence.Worker(1, 1)):
            self.call("runs")
        assert Run.objects.get().status == RunStatus.RUNNING

    @pytest.mark.parametrize(
        ("verb", "options"),
        [
            ("resume", ()),
            ("retry", ()),
            ("reproduce", ()),
            ("continue", ("-n", "64")),
            ("branch", ("-n", "900")),
        ],
    )
    def test_without_a_worker_each_verb_says_so_and_offers_this_terminal(
        self, dead_pid: int, home: Any, verb: str, options: tuple[str, ...]
    ) -> None:
        run = running(dead_pid)
        out, err = self.call(verb, run.pk, *options, "--json")
        made = json.loads(out)
        assert made["status"] == "queued"
        assert "no worker is alive; start one with `python manage.py worker`" in err
        assert f"python manage.py resume {made['id']} --here" in err
        Run.objects.all().delete()
        with presence.announced(home, presence.Worker(1, 1)):
            _, err = self.call(verb, running(dead_pid).pk, *options)
        assert "worker" not in err

    def test_a_branch_still_names_its_checkpoint(self, dead_pid: int) -> None:
        out, _ = self.call("branch", f"{running(dead_pid).pk}@128", "-n", "900")
        assert "queued, from step 128" in out


def test_an_owner_tells_whether_it_is_a_terminal() -> None:
    assert Run(owner=supervisor.new_owner(TERMINAL)).is_in_terminal
    assert not Run(owner=supervisor.new_owner()).is_in_terminal
    assert Run(owner=supervisor.new_owner(TERMINAL)).owner_pid == os.getpid()
