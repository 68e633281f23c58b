"""Run directories for the engine's tests, and one tiny run that several tests read."""

import os
from pathlib import Path

import pytest

from apps.engine.training.training import train
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from tests.conftest import TINY_DQN, TINY_PPO

os.environ.setdefault("MUJOCO_GL", "egl")  # As a trainer does: there may be no screen.
TINY = {"ppo": TINY_PPO, "dqn": TINY_DQN}


def make_directory(folder: Path, spec: RunSpec) -> RunDirectory:
    """Make an untrained run directory."""
    return RunDirectory(folder).create(spec.as_dict(), {"id": folder.name, "name": folder.name})


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, RunDirectory]:
    """A tiny PPO run that was trained to its end; do not change it."""
    spec = RunSpec.from_dict(TINY_PPO)
    directory = make_directory(tmp_path_factory.mktemp("trained") / "run", spec)
    train(spec, directory)
    return spec, directory
