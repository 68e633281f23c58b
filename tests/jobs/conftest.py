"""A run that was trained to its end, for what comes after a training."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Protocol

import pytest

from apps.engine.training.training import NoEpisode, train
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs import rows
from apps.jobs.rows import LogCopier
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from tests.conftest import TINY_PPO, make_run
from tests.engine.conftest import make_directory


class GiveTrained(Protocol):
    """Makes a run that has ended."""

    def __call__(self, environment: str = "CartPole-v1") -> Run:
        """Return a completed run with its checkpoint, which waits for its evaluation."""


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
