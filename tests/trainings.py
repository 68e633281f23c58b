"""Runs that tests train in their own process, and what two of them must have in common."""

import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from apps.engine.checkpoints import loading, saving
from apps.engine.control import Control
from apps.engine.models.classes import ALGORITHM_CLASSES
from apps.engine.training.callback import TrainingCallback
from apps.engine.training.training import Attempt, Outcome, train
from apps.metrics import store
from apps.rundir.directory import RunDirectory, take_weights
from apps.spec.run import RunSpec
from tests.builders import TINY, events_of, make_directory


def train_tiny(folder: Path, algorithm: str, **changes: object) -> tuple[RunDirectory, Outcome]:
    spec = RunSpec.from_dict({**TINY[algorithm], **changes})
    directory = make_directory(folder, spec)
    return directory, train(spec, directory)


def weights(algorithm: str, directory: RunDirectory) -> dict[str, torch.Tensor]:
    step = saving.steps_of(directory)[-1]
    model = loading.load(ALGORITHM_CLASSES[algorithm], directory, step, "cpu")
    return model.policy.state_dict()


def train_small(folder: Path, spec: RunSpec) -> tuple[RunDirectory, Outcome]:
    directory = make_directory(folder, spec)
    return directory, train(spec, directory, keep_checkpoints=100)


def train_with_pauses(
    folder: Path, spec: RunSpec, *pauses: int, init: Path | None = None
) -> tuple[RunDirectory, Outcome]:
    directory = make_directory(folder, spec)
    if init:
        take_weights(init, directory, is_ours=False)
    rollout_start = TrainingCallback._on_rollout_start
    for number, pause in enumerate([*pauses, None], 1):
        control = Control()

        def on_rollout_start(self: TrainingCallback, pause: int | None = pause) -> None:
            if pause is not None and self.num_timesteps >= pause:
                control.request_stop("paused")  # noqa: B023 - used within this turn only
            rollout_start(self)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TrainingCallback, "_on_rollout_start", on_rollout_start)
            outcome = train(spec, directory, control, attempt=Attempt(number))
        # What another process would not have: the generators as they happen to stand.
        torch.rand(7), np.random.rand(3), random.random()  # noqa: NPY002
    return directory, outcome


def visible(directory: RunDirectory) -> list[object]:
    """Steps, episodes and training scalars as a reader sees them, without times."""
    points: list[object] = []
    for event in store.visible_events(directory.log):
        if event["type"] == "episode":
            points.append((event["step"], event["return"], event["length"], event["env"]))
        elif event["type"] == "metrics":
            values = {
                key: value
                for key, value in event["values"].items()
                if not key.startswith(("time/", "rlgym/"))
            }
            if values:
                points.append((event["step"], sorted(values.items())))
    return points


def arrays(directory: RunDirectory) -> dict[str, bytes]:
    """The last checkpoint's replay buffer and statistics."""
    folder = directory.checkpoints / str(saving.steps_of(directory)[-1])
    kept = [path for path in folder.iterdir() if path.suffix in {".arrays", ".npz"}]
    return {path.name: path.read_bytes() for path in kept}


def position(directory: RunDirectory) -> Any:
    return loading.load_state(directory, saving.steps_of(directory)[-1])["buffer"]


def assert_same_run(spec: RunSpec, one: RunDirectory, other: RunDirectory) -> None:
    assert saving.steps_of(one)[-1] == saving.steps_of(other)[-1]
    first, second = weights(spec.algorithm, one), weights(spec.algorithm, other)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert arrays(one) == arrays(other)
    np.testing.assert_equal(position(one), position(other))
    assert visible(one) == visible(other)


def wait_for_step(directory: RunDirectory, step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if any(event["step"] >= step for event in events_of(directory)[-5:]):
            return
        time.sleep(0.01)
    pytest.fail(f"the run did not come to step {step}")
