"""Fixtures that several rooms' tests share."""

import os

# As trainers have it: two test processes whose threads spin stop each other. Set before torch is
# imported, which reads it once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("MUJOCO_GL", "egl")  # As a trainer does: there may be no screen.

from collections import Counter
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from tests import worlds
from tests.builders import TINY_PPO, make_directory

worlds.register()


@pytest.fixture
def home(tmp_path: Path, settings: Settings) -> Path:
    """A data directory of this test's own, for whatever runs in this process."""
    settings.HOME = tmp_path
    settings.MEDIA_ROOT = tmp_path / "media"
    settings.MEDIA_ROOT.mkdir()
    settings.RUNS_ROOT = tmp_path / "media" / "runs"
    settings.TRASH_ROOT = tmp_path / "media" / "trash"
    settings.ENVIRONMENTS_FOLDER = tmp_path / "environments"
    return tmp_path


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, RunDirectory]:
    """A tiny PPO run that was trained to its end; do not change it."""
    from apps.engine.training.training import train  # Most tests need no torch.

    spec = RunSpec.from_dict(TINY_PPO)
    directory = make_directory(tmp_path_factory.mktemp("trained") / "run", spec)
    train(spec, directory)
    return spec, directory


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no process is left alone with one.

    Browser tests run last: they leave an event loop running, and other tests need none.
    """
    weights: Counter[Path] = Counter()
    for item in items:
        marks = {mark.name for mark in item.iter_markers()}
        weights[item.path] += 1000 * ("chaos" in marks) + ("slow" in marks)

    def turn(item: pytest.Item) -> tuple[bool, int]:
        return item.get_closest_marker("browser") is not None, -weights[item.path]

    items.sort(key=turn)
