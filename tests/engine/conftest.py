"""Run directories for the engine's tests."""

from pathlib import Path

from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from tests.conftest import TINY_DQN, TINY_PPO

TINY = {"ppo": TINY_PPO, "dqn": TINY_DQN}


def make_directory(folder: Path, spec: RunSpec) -> RunDirectory:
    """Make an untrained run directory."""
    return RunDirectory(folder).create(spec.as_dict(), {"id": folder.name, "name": folder.name})
