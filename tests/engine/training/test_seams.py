"""Where a run goes on with other environments, nothing of the old episodes runs into the new."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from stable_baselines3 import DQN
from stable_baselines3.common.buffers import NStepReplayBuffer

from apps.engine.checkpoints import loading, saving
from apps.engine.checkpoints.buffer import cut_episodes
from apps.engine.training.training import train
from apps.rundir.checkpoints import copy_checkpoint
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from tests.builders import events_of, make_directory

OFF_POLICY = {"learning_starts": 20, "buffer_size": 1000, "net_arch": [8]}
HINDSIGHT = {**OFF_POLICY, "her": True, "n_sampled_goal": 4}


def spec_of(algorithm: str, environment: str, hyperparameters: Any, **changes: Any) -> RunSpec:
    return RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": environment,
            "total_timesteps": 200,
            "hyperparameters": hyperparameters,
            **changes,
        }
    )


def branched(folder: Path, spec: RunSpec, **changes: Any) -> RunDirectory:
    """Train a spec, then a child of its last checkpoint for as many steps again."""
    parent = make_directory(folder / "parent", spec)
    train(spec, parent)
    step = saving.steps_of(parent)[-1]
    other = replace(spec, total_timesteps=2 * step, **changes)
    child = make_directory(folder / "child", other)
    child.append(copy_checkpoint(parent, child, step))
    train(other, child)
    return child


def last_state(directory: RunDirectory) -> dict[str, Any]:
    return loading.load_state(directory, saving.steps_of(directory)[-1])


@pytest.mark.parametrize("buffer_size", [1000, 150])
def test_hindsight_never_joins_an_episode_with_one_after_the_seam(
    tmp_path: Path, buffer_size: int
) -> None:
    # 200 steps end amid an episode of seven; a small buffer has gone round by then.
    hyperparameters = {**HINDSIGHT, "buffer_size": buffer_size}
    spec = spec_of("dqn", "tests.worlds.odd_worlds:Bits-v0", hyperparameters)
    child = branched(tmp_path, spec, environment_kwargs={"bits": 7})
    (attempt,) = events_of(child, "attempt")
    assert attempt["notes"] == {"environment state": "the environments are others now"}
    lengths = last_state(child)["buffer"]["episodes"]["ep_length"]
    assert lengths.max() == 7
    # The episode that was cut is kept: four steps were played of it.
    assert buffer_size == 150 or (lengths == 4).sum() == 4


def test_what_was_cut_at_the_seam_is_in_the_checkpoints_after_it(tmp_path: Path) -> None:
    spec = spec_of("dqn", "tests.worlds.odd_worlds:Bits-v0", HINDSIGHT)
    child = branched(tmp_path, spec, environment_kwargs={"bits": 7})
    seam = 200 - 1
    for step, is_cut in ((200, False), (400, True)):
        path = next((child.checkpoints / str(step)).glob("buffer.0-*.arrays"))
        with path.open("rb") as file:
            names = [entry.split()[0] for entry in np.load(file)]
            arrays = {name: np.load(file) for name in names}
        assert bool(arrays["timeouts"][seam].all()) == is_cut


def test_returns_over_several_steps_end_at_the_seam() -> None:
    model = DQN(
        "MlpPolicy", "CartPole-v1", buffer_size=50, n_steps=3, policy_kwargs={"net_arch": [4]}
    )
    buffer = model.replay_buffer
    assert isinstance(buffer, NStepReplayBuffer)

    def add(reward: float) -> None:
        seen, no = np.zeros((1, 4), np.float32), np.zeros(1)
        buffer.add(seen, seen, np.zeros((1, 1)), np.array([reward]), no, [{}])

    for _ in range(5):
        add(1.0)
    cut_episodes(model)
    for _ in range(5):
        add(100.0)
    before_the_seam = buffer._get_samples(np.arange(5)).rewards
    assert float(before_the_seam.max()) < 3
    assert float(buffer._get_samples(np.array([4])).rewards) == 1.0
    assert float(buffer._get_samples(np.array([4])).dones) == 0.0


@pytest.mark.parametrize(
    ("algorithm", "hyperparameters"),
    [
        ("td3", {**OFF_POLICY, "noise_type": "ornstein-uhlenbeck", "noise_std": 0.2}),
        ("recurrent_ppo", {"n_steps": 32, "batch_size": 32, "net_arch": [8]}),
    ],
)
def test_what_belongs_to_an_episode_begins_anew_with_more_environments(
    tmp_path: Path, algorithm: str, hyperparameters: dict[str, Any]
) -> None:
    more = {"n_envs": 2, "total_timesteps": 600}
    spec = spec_of(algorithm, "Pendulum-v1", hyperparameters, **more)
    child = branched(tmp_path, spec, n_envs=3)
    assert events_of(child)[-1]["status"] == "completed"


def test_returns_of_another_task_are_not_averaged_with_those_before(tmp_path: Path) -> None:
    spec = spec_of("ppo", "tests.worlds.odd_worlds:World-v0", {"n_steps": 50, "batch_size": 50})
    parent_is_better = "tests.worlds.odd_worlds:TinyReward-v0"
    child = branched(tmp_path, spec, environment=parent_is_better)
    means = [
        event["values"]["rollout/ep_rew_mean"]
        for event in events_of(child, "metrics")
        if "rollout/ep_rew_mean" in event["values"]
    ]
    assert means
    assert max(means) < 1e-6
    saved = events_of(child, "checkpoint")
    assert saved[-1]["best"]
