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

from apps.experiments.models import Checkpoint, Experiment, Run, new_run_id
from apps.rundir.checkpoints import MANIFEST, STATE, TORCH_FILE
from apps.rundir.directory import RunDirectory
from apps.rundir.files import sha256_of, write_json
from apps.spec.run import RunSpec

TINY_PPO = {
    "algorithm": "ppo",
    "environment": "CartPole-v1",
    "total_timesteps": 256,
    "hyperparameters": {"n_steps": 64, "batch_size": 32, "n_epochs": 1, "net_arch": [8]},
}
TINY_DQN = {
    "algorithm": "dqn",
    "environment": "CartPole-v1",
    "total_timesteps": 256,
    "hyperparameters": {"learning_starts": 32, "buffer_size": 1000, "net_arch": [8]},
}


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


def make_run(**fields: object) -> Run:
    """Make a run with a directory and a row, without ringing the queue; fields win."""
    spec = RunSpec.from_dict(TINY_PPO)
    experiment, _ = Experiment.objects.get_or_create(name="Tests")
    values: dict[str, object] = {
        "id": new_run_id(),
        "name": "tiny",
        "experiment": experiment,
        "spec": spec.as_dict(),
        "algorithm": spec.algorithm,
        "environment": spec.environment,
        "seed": spec.seed,
        "total_timesteps": spec.total_timesteps,
        **fields,
    }
    run = Run(**values)
    record = {
        "id": run.pk,
        "name": run.name,
        "experiment": run.experiment.name,
        "created_at": run.created_at.isoformat(),
    }
    run.directory.create(run.spec, record)
    run.save(force_insert=True)
    return run


def give_checkpoint(run: Run, step: int, **fields: object) -> Checkpoint:
    """Write a checkpoint whose files nobody can load but whose hashes are right, and its row."""
    folder = run.directory.checkpoints / str(step)
    folder.mkdir(parents=True)
    for name in (STATE, TORCH_FILE):
        (folder / name).write_bytes(f"{name} of step {step}".encode())
    files = {
        name: {"sha256": sha256_of(folder / name), "size_bytes": (folder / name).stat().st_size}
        for name in (STATE, TORCH_FILE)
    }
    write_json(folder / MANIFEST, {"step": step, "files": files})
    return run.checkpoints.create(step=step, sha256=sha256_of(folder / MANIFEST), **fields)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, RunDirectory]:
    """A tiny PPO run that was trained to its end; do not change it."""
    from apps.engine.training.training import train  # Most tests need no torch.

    spec = RunSpec.from_dict(TINY_PPO)
    folder = tmp_path_factory.mktemp("trained") / "run"
    directory = RunDirectory(folder).create(spec.as_dict(), {"id": "run", "name": "run"})
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
