"""Runs and memory: what does not fit stays queued, says why, and neither starves nor blocks."""

import os
import socket
import threading
from typing import ClassVar

import pytest
from django.utils import timezone
from pytest_django import Settings

from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs import room
from apps.jobs.presence import Worker, announced
from apps.jobs.verbs import checking, life, reindex
from apps.jobs.verbs.waiting import why_it_waits, why_runs_wait
from apps.jobs.worker import supervisor
from apps.machine import gpu, host
from apps.machine.host import PROCESS_BYTES
from apps.rundir.directory import RunDirectory
from apps.rundir.files import write_json
from tests.builders import TINY_DQN, TINY_PPO, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
MB = 1 << 20
HERE = f"{socket.gethostname()}:1:x"


def waiting(megabytes: int, **fields: object) -> Run:
    since = timezone.now()
    fields = {"status": RunStatus.QUEUED, "queued_at": since, **fields}
    return make_run(memory_bytes=megabytes * MB, **fields)


def running(megabytes: int) -> Run:
    return make_run(status=RunStatus.RUNNING, owner=HERE, memory_bytes=megabytes * MB)


def test_a_run_that_would_fit_later_keeps_its_turn_and_says_why_it_waits(
    settings: Settings, home: object
) -> None:
    settings.MAX_MEMORY_MB = 1000
    running(700)
    large, small = waiting(400, name="large"), waiting(100)
    supervisor.train_queued(lambda: None)
    assert Run.objects.filter(status=RunStatus.QUEUED).count() == 2
    with announced(settings.HOME, Worker(slots=4, max_runs=4)):
        why = (
            "it takes about 400.0 MB of memory, 1,000.0 MB are there for runs "
            "(RLGYM_MAX_MEMORY_MB) and running ones need 700.0 MB"
        )
        assert why_it_waits(large) == f"{why}; it is next"
        told = f"the first in turn, large, waits: {why}"
        assert why_it_waits(small) == f"{told}; 1 run goes before it"
        assert why_runs_wait() == why


def test_a_run_that_fits_nowhere_lets_others_go_first(settings: Settings) -> None:
    settings.MAX_MEMORY_MB = 1000
    huge, small = waiting(1001), waiting(100)
    found = room.look()
    assert Run.objects.that_fit(found.bounds).next_queued() == small
    assert "make its buffer smaller" in found.why_not(huge)
    with announced(settings.HOME, Worker(slots=4, max_runs=4)):
        assert "make its buffer smaller" in why_it_waits(huge)
        assert "in a moment" in why_it_waits(small)


def memory(free: int, ours: int, reserved: int) -> room.Memory:
    return room.Memory(
        "memory_bytes", "memory", "make it smaller", free * MB, ours * MB, reserved * MB
    )


def test_without_a_limit_what_is_free_decides() -> None:
    some = memory(free=300, ours=500, reserved=600)
    assert some.for_runs_bytes == 800 * MB
    assert some.why_not(200 * MB) == ""
    assert some.why_not(201 * MB)  # Its running runs will yet fill 100 MB more.
    # Running ones took more than they were to.
    assert memory(free=100, ours=900, reserved=600).why_not(101 * MB)


def test_runs_share_the_cores_and_a_reproduction_takes_as_many_as_its_original(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "cores", lambda: 8)
    first = running(1)
    assert room.threads_for(first, at_most=8) == 8
    for _ in range(3):
        waiting(1)
    assert room.threads_for(first, at_most=8) == 2
    assert room.threads_for(first, at_most=2) == 4
    again = make_run(status=RunStatus.QUEUED, parent=first, relation="reproduce")
    assert room.threads_for(again, at_most=8) == 1
    write_json(first.directory.provenance, {"torch_threads": 3})
    assert room.threads_for(again, at_most=8) == 3
    assert room.threads_for(first, at_most=8) == 3  # It begins once more.
    write_json(again.directory.provenance, {"torch_threads": 2})
    again.attempt = 2
    assert room.threads_for(again, at_most=8) == 2
    assert room.share_of_cores(at_most=8) == 1  # Of five.


def test_a_check_counts_its_run_with_those_that_train_and_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(host, "cores", lambda: 8)
    assert room.share_of_cores(at_most=8, more=1) == 8
    running(1)
    assert room.share_of_cores(at_most=8, more=1) == 4
    waiting(1)
    waiting(1)
    assert room.share_of_cores(at_most=8, more=1) == 2
    assert room.share_of_cores(at_most=1, more=1) == 8


def test_two_workers_cannot_both_take_the_last_memory() -> None:
    running(500)
    one, two = waiting(300), waiting(300)
    within = {"memory_bytes": 1000 * MB}
    assert one.claim(HERE, at_most=9, within=within)
    assert not two.claim(HERE, at_most=9, within=within)
    assert two.status == RunStatus.QUEUED
    one.move_to(RunStatus.COMPLETED)
    assert two.claim(HERE, at_most=9, within=within)


class Gpu:
    """One of 8 GB, of which somebody else takes 2 GB and our trainers what they are told to."""

    ours: ClassVar[dict[int, int]] = {}

    @classmethod
    def look(cls) -> gpu.GpuMemory:
        ours = {pid: megabytes * MB for pid, megabytes in cls.ours.items()}
        return gpu.GpuMemory(6000 * MB - sum(ours.values()), 8000 * MB, {1: 2000 * MB, **ours})


@pytest.fixture
def gpu_of_8_gb(monkeypatch: pytest.MonkeyPatch) -> type[Gpu]:
    monkeypatch.setattr(Gpu, "ours", {})
    monkeypatch.setattr(gpu, "look", Gpu.look)
    monkeypatch.setattr(RunDirectory, "lock_holder", lambda self: os.getpid())
    return Gpu


def on_gpu(megabytes: int, **fields: object) -> Run:
    return waiting(1, gpu_memory_bytes=megabytes * MB, **fields)


def test_a_run_waits_for_the_memory_of_the_gpu_and_says_so(
    settings: Settings, gpu_of_8_gb: type[Gpu]
) -> None:
    make_run(status=RunStatus.RUNNING, owner=HERE, gpu_memory_bytes=4000 * MB)
    gpu_of_8_gb.ours[os.getpid()] = 3500
    large = on_gpu(3000, name="large")
    small, without = on_gpu(1000), waiting(1)
    found = room.look()
    why = (
        "it takes about 2.9 GB of the GPU's memory, 5.9 GB are there for runs and running "
        "ones need 3.9 GB"
    )
    assert found.why_not(large) == why
    assert found.line().next_queued() == without  # Which takes none of it.
    with announced(settings.HOME, Worker(slots=4, max_runs=4)):
        assert why_it_waits(large) == f"{why}; it is next"
        assert f"the first in turn, large, waits: {why}" in why_it_waits(small)
        assert "in a moment" in why_it_waits(without)
        without.move_to(RunStatus.STOPPED)
        assert why_runs_wait() == why


@pytest.mark.usefixtures("gpu_of_8_gb")
def test_a_run_that_took_none_of_the_gpu_yet_has_it_reserved() -> None:
    first, second = on_gpu(4000), on_gpu(4000)
    assert first.claim(HERE, within=room.look().bounds)
    found = room.look()  # Its trainer loads its libraries.
    assert found.line().next_queued() is None
    assert found.why_not(second)
    assert not second.claim(HERE, within=found.bounds)


@pytest.mark.usefixtures("gpu_of_8_gb")
def test_a_run_too_large_for_the_gpu_lets_others_go_first() -> None:
    huge, without, small = on_gpu(7000), waiting(1), on_gpu(5000)
    found = room.look()
    assert "train with device cpu" in found.why_not(huge)
    assert [*found.line().order_by("queued_at")] == [without, small]
    assert not huge.claim(HERE, within=found.bounds)


@pytest.mark.usefixtures("gpu_of_8_gb")
def test_what_needs_no_gpu_does_not_care_how_full_it_is() -> None:
    make_run(status=RunStatus.RUNNING, owner=HERE, gpu_memory_bytes=9000 * MB)
    without = waiting(1)
    found = room.look()
    assert found.why_not(without) == ""
    assert without.claim(HERE, within=found.bounds)


@pytest.mark.usefixtures("gpu_of_8_gb")
def test_a_run_that_waits_for_memory_of_the_machine_keeps_its_turn_on_a_gpu_too(
    settings: Settings,
) -> None:
    settings.MAX_MEMORY_MB = 1000
    running(700)
    both = waiting(400, gpu_memory_bytes=7000 * MB), waiting(400, gpu_memory_bytes=1 * MB)
    small = waiting(100)
    found = room.look()
    assert found.line().next_queued() == both[1]
    assert found.line(small).next_queued() == both[1]


def test_where_there_is_no_gpu_nothing_waits_for_its_memory(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "look", lambda: None)
    assert room.look().why_not(waiting(1, gpu_memory_bytes=10**15)) == ""


def test_what_a_run_takes_is_reckoned_from_its_buffer_and_outlives_the_database(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(gpu, "look", lambda: gpu.GpuMemory(10**10, 10**10, {}))
    small = life.create(checking.check_spec(TINY_DQN))
    large = life.create(
        checking.check_spec(
            {
                "algorithm": "dqn",
                "environment": "CartPole-v1",
                "total_timesteps": 10_000_000,
                "hyperparameters": {"buffer_size": 5_000_000},
            }
        )
    )
    # Two observations of 4 floats, an action of 8 bytes, 3 floats.
    assert small.memory_bytes == PROCESS_BYTES + 256 * 52
    assert large.memory_bytes == PROCESS_BYTES + 5_000_000 * 52
    cuda = life.create(checking.check_spec({**TINY_PPO, "device": "cuda"}))
    # Minibatches of 32 observations of 4 floats.
    assert cuda.gpu_memory_bytes == gpu.PROCESS_BYTES + gpu.BATCH_COPIES * 32 * 16
    assert (small.gpu_memory_bytes, large.gpu_memory_bytes) == (0, 0)
    Run.objects.all().delete()
    reindex.reindex()
    assert Run.objects.get(pk=large.pk).memory_bytes == large.memory_bytes
    assert Run.objects.get(pk=cuda.pk).gpu_memory_bytes == cuda.gpu_memory_bytes


@pytest.mark.slow
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("quiet_worker")
def test_more_runs_than_memory_train_one_after_another(settings: Settings) -> None:
    settings.WORKERS = 2
    settings.MAX_MEMORY_MB = 500  # For one.
    runs = [life.launch(checking.check_spec({**TINY_PPO, "seed": seed})) for seed in (1, 2)]
    slots = [threading.Thread(target=supervisor.train_queued, args=(lambda: None,)) for _ in runs]
    for slot in slots:
        slot.start()
    for slot in slots:
        slot.join()
    for run in runs:
        run.refresh_from_db()
        assert run.status == RunStatus.COMPLETED
    first, second = sorted(runs, key=lambda run: run.started_at)
    assert first.finished_at <= second.started_at
