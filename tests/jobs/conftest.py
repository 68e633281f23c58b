"""Runs that were trained to their end, and a worker that is quiet."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache

import pytest
from pytest_django import Settings

from apps.engine.training.training import NoEpisode, train
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs import rows
from apps.jobs.rows import LogCopier
from apps.jobs.worker import supervisor
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from tests.builders import TINY_PPO, GiveTrained, make_directory, make_run


@pytest.fixture(scope="session")
def train_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], RunDirectory]:
    """Train a tiny run of an environment, in this process; do not change its directory."""

    @cache
    def train_in(environment: str) -> RunDirectory:
        spec = RunSpec.from_dict({**TINY_PPO, "environment": environment, "eval_episodes": 2})
        directory = make_directory(tmp_path_factory.mktemp("trained") / "run", spec)
        with suppress(NoEpisode):  # Of a world that never ends, the checkpoint is as good.
            train(spec, directory)
        return directory

    return train_in


@pytest.fixture
def give_trained(train_once: Callable[[str], RunDirectory]) -> GiveTrained:
    """Give runs whose rows and files are as a supervisor leaves them.

    How they come to be so is shown where supervisors are tested.
    """

    def give(environment: str = "CartPole-v1") -> Run:
        origin = train_once(environment)
        spec = RunSpec.from_dict({**TINY_PPO, "environment": environment, "eval_episodes": 2})
        run = make_run(
            status=RunStatus.COMPLETED, spec=spec.as_dict(), environment=environment, attempt=1
        )
        shutil.copytree(origin.checkpoints, run.directory.checkpoints)
        shutil.copyfile(origin.log, run.directory.log)
        columns, to_evaluate = LogCopier(run).advance()
        Run.objects.filter(pk=run.pk).update(**columns)
        run.refresh_from_db()
        rows.ask_owed(run, to_evaluate)
        return run

    return give


@pytest.fixture
def quiet_worker(settings: Settings) -> Iterator[None]:
    """A worker's state of this test's own: one slot, no trainer in reserve."""
    settings.WARM_TRAINER = False
    settings.WORKERS = 1
    settings.HEARTBEAT_S = 0.2
    supervisor.reserve.cache_clear()
    supervisor.training_slots.cache_clear()
    supervisor.shutdown.clear()
    yield
    supervisor.shutdown.clear()
    supervisor.reserve.cache_clear()
    supervisor.training_slots.cache_clear()
