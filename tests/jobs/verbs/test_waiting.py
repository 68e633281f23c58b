"""Why a queued run waits, in words."""

import json
import socket
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.errors import InvalidSpec
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs import presence
from apps.jobs.presence import Worker
from apps.jobs.verbs import checking, life, refusals, reindex
from apps.jobs.verbs.naming import Naming
from apps.jobs.verbs.waiting import why_it_waits
from apps.jobs.worker import supervisor
from tests.builders import TINY_PPO, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def waiting(**fields: object) -> Run:
    return make_run(status=RunStatus.QUEUED, **fields)


def test_a_queued_run_says_what_it_waits_for_and_where_it_stands(home: Path) -> None:
    first, second = waiting(), waiting()
    assert why_it_waits(first) == (
        "no worker is alive; start one with `python manage.py worker`; it is next"
    )
    with presence.announced(home, Worker(slots=2, max_runs=2)):
        assert why_it_waits(second) == (
            "a worker takes the next one in a moment; 1 run goes before it"
        )
        for _ in range(2):
            make_run(status=RunStatus.RUNNING, owner=f"{socket.gethostname()}:1:x")
        make_run(status=RunStatus.RUNNING, owner="elsewhere:1:x")
        assert why_it_waits(first) == "2 of 2 training slots are busy; it is next"
    with presence.announced(home, Worker(slots=4, max_runs=2)):
        assert "the limit of this machine (RLGYM_MAX_RUNS)" in why_it_waits(first)
    assert why_it_waits(make_run(status=RunStatus.COMPLETED)) == ""


def test_a_worker_leaves_the_queue_alone_while_its_machine_is_full(settings: Settings) -> None:
    settings.MAX_RUNS = 1
    make_run(status=RunStatus.RUNNING, owner=f"{socket.gethostname()}:1:x")
    run = waiting()
    supervisor.train_queued(lambda: None)
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED


@pytest.mark.parametrize("status", [RunStatus.DRAFT, RunStatus.QUEUED])
def test_what_waits_can_be_given_another_priority(status: RunStatus) -> None:
    run = life.set_priority(make_run(status=status), "-7")
    assert Run.objects.get(pk=run.pk).priority == run.priority == -7
    Run.objects.all().delete()
    reindex.reindex()
    assert Run.objects.get(pk=run.pk).priority == -7


@pytest.mark.parametrize("priority", ["high", 101, 1.5, None, [1]])
def test_a_record_whose_priority_cannot_be_stops_no_rebuild(priority: object) -> None:
    run = make_run()
    record = json.loads(run.directory.record.read_text())
    run.directory.record.write_text(json.dumps({**record, "priority": priority}))
    assert reindex.reindex_run(run.directory).priority == 0


@pytest.mark.parametrize("status", [RunStatus.RUNNING, RunStatus.COMPLETED, RunStatus.PAUSED])
def test_what_does_not_wait_keeps_its_priority(status: RunStatus) -> None:
    run = make_run(status=status, owner="host:1:x")
    with pytest.raises(refusals.Refused, match=f"is {status}; its priority counts only while"):
        life.set_priority(run, 5)


@pytest.mark.parametrize("priority", [101, -101, 1.5, True, "high", "", None])
def test_a_priority_out_of_bounds_is_refused(priority: object) -> None:
    with pytest.raises(InvalidSpec, match=r"priority: .* from -100 to 100"):
        life.set_priority(waiting(), priority)


def test_a_run_is_made_with_its_priority() -> None:
    run = life.launch(checking.check_spec(TINY_PPO), Naming(priority=9))
    assert Run.objects.get(pk=run.pk).priority == 9
