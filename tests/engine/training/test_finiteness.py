"""A run ends as completed only if all that it learnt from, and what it learnt, are numbers."""

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from apps.engine.checkpoints import saving
from apps.engine.training.training import train
from apps.errors import NotFinite
from apps.metrics.summary import RunSummary
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from tests.builders import make_directory

ON_POLICY = {"n_steps": 64, "batch_size": 32, "n_epochs": 1, "net_arch": [8]}
OFF_POLICY = {"learning_starts": 50, "buffer_size": 500, "net_arch": [8]}
SMALL: dict[str, dict[str, Any]] = {
    "ppo": ON_POLICY,
    "a2c": {"net_arch": [8]},
    "trpo": {"n_steps": 64, "batch_size": 32, "net_arch": [8]},
    "recurrent_ppo": {**ON_POLICY, "lstm_hidden_size": 8},
    "dqn": OFF_POLICY,
    "qrdqn": OFF_POLICY,
    "sac": OFF_POLICY,
    "ars": {"n_delta": 2, "n_top": 1},
}


class Breaks(gymnasium.Env[Any, Any]):
    """Ten steps an episode; something of one step of them all is no number."""

    def __init__(self, what: str = "", at: int = 0, value: str = "nan", actions: str = "") -> None:
        self.observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)
        self.action_space = spaces.Box(-1, 1, (1,)) if actions == "box" else spaces.Discrete(2)
        self.what, self.at, self.value, self.total = what, at, float(value), 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.n = 0
        return np.zeros(2, np.float32), {}

    def step(self, action: Any) -> Any:
        self.n, self.total = self.n + 1, self.total + 1
        is_wrong = self.total == self.at
        seen = np.array([self.n, self.value if is_wrong and self.what == "seen" else 0])
        reward = self.value if is_wrong and self.what == "reward" else 1.0
        return seen.astype(np.float32), reward, False, self.n == 10, {}


gymnasium.register("Breaks-v0", Breaks)


def trained(
    folder: Path, algorithm: str, environment: str = "Breaks-v0", **fields: Any
) -> RunDirectory:
    actions = "box" if algorithm == "sac" else ""
    if environment == "Breaks-v0":
        fields["environment_kwargs"] = {**fields["environment_kwargs"], "actions": actions}
    spec = RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": environment,
            "total_timesteps": 1000,
            "hyperparameters": SMALL[algorithm],
            **fields,
        }
    )
    directory = make_directory(folder / "run", spec)
    with pytest.raises(NotFinite) as failure:
        train(spec, directory)
    lines = [json.loads(line) for line in directory.log.open()]
    assert (lines[-1]["type"], lines[-1]["status"]) == ("status", "failed")
    assert lines[-1]["reason"] == str(failure.value)
    return directory


def reason_of(directory: RunDirectory) -> str:
    return str(json.loads(directory.log.read_text().splitlines()[-1])["reason"])


@pytest.mark.parametrize("algorithm", SMALL)
def test_a_reward_that_is_no_number_is_named_with_its_step(algorithm: str, tmp_path: Path) -> None:
    kwargs = {"what": "reward", "at": 333}
    reason = reason_of(trained(tmp_path, algorithm, environment_kwargs=kwargs))
    assert "the reward of step 333 was nan" in reason


@pytest.mark.parametrize("at", [333, 330])  # Amid an episode, and its last, at a step limit.
@pytest.mark.parametrize("algorithm", ["ppo", "a2c", "trpo", "recurrent_ppo", "dqn", "sac"])
def test_an_observation_that_is_no_number_is_named_with_its_step(
    algorithm: str, at: int, tmp_path: Path
) -> None:
    kwargs = {"what": "seen", "at": at, "value": "inf" if algorithm == "dqn" else "nan"}
    reason = reason_of(trained(tmp_path, algorithm, environment_kwargs=kwargs))
    assert f"number 1 of the observation of step {at} was" in reason


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_the_step_is_right_with_several_environments(algorithm: str, tmp_path: Path) -> None:
    kwargs = {"what": "reward", "at": 100}
    directory = trained(tmp_path, algorithm, environment_kwargs=kwargs, n_envs=4)
    assert "the reward of step 400 was nan" in reason_of(directory)


def test_no_checkpoint_is_kept_of_what_was_learnt_from_nothing(tmp_path: Path) -> None:
    kwargs = {"what": "reward", "at": 333}
    directory = trained(tmp_path, "dqn", environment_kwargs=kwargs, save_freq=100)
    assert saving.steps_of(directory) == [100, 200, 300]


def test_an_update_that_breaks_the_weights_is_named(tmp_path: Path) -> None:
    kwargs = {"what": "reward", "at": 70, "value": "3e38"}  # A number, but its square is none.
    reason = reason_of(trained(tmp_path, "ppo", environment_kwargs=kwargs))
    assert "an update between the steps" in reason
    assert "lower learning_rate" in reason


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_the_odd_worlds_rewards_end_in_failure(algorithm: str, tmp_path: Path) -> None:
    for name, words in (
        ("NanReward", "the reward of step 700 was nan"),
        ("HugeReward", "the reward of step 1 was inf, or beyond 3.4e38"),
    ):
        directory = trained(tmp_path / name, algorithm, f"tests.worlds.odd_worlds:{name}-v0")
        assert words in reason_of(directory)


@pytest.mark.parametrize("vectorization", ["dummy", "subprocess"])
def test_tiny_returns_are_logged_as_they_are(tmp_path: Path, vectorization: str) -> None:
    spec = RunSpec.from_dict(
        {
            "algorithm": "ppo",
            "environment": "tests.worlds.odd_worlds:TinyReward-v0",
            "total_timesteps": 128,
            "hyperparameters": ON_POLICY,
            "vectorization": vectorization,
        }
    )
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory)
    lines = [json.loads(line) for line in directory.log.open()]
    returns = {line["return"] for line in lines if line["type"] == "episode"}
    assert [*returns] == [pytest.approx(1e-7)]
    means = [
        line["values"]["rollout/ep_rew_mean"]
        for line in lines
        if line["type"] == "metrics" and "rollout/ep_rew_mean" in line["values"]
    ]
    assert means
    assert means[-1] == pytest.approx(1e-7)


@pytest.mark.parametrize("n_episodes", [1, 3, 6])
def test_a_run_with_few_episodes_shows_their_return(tmp_path: Path, n_episodes: int) -> None:
    spec = RunSpec.from_dict(
        {
            "algorithm": "dqn",
            "environment": "Breaks-v0",
            "total_timesteps": 10 * n_episodes,
            "hyperparameters": OFF_POLICY,
        }
    )
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory)
    lines = [json.loads(line) for line in directory.log.open()]
    told = [line for line in lines if "rollout/ep_rew_mean" in line.get("values", {})]
    assert told[-1]["step"] >= 10 * n_episodes  # It takes four steps at a time.
    for seen in (lines, [line for line in lines if line not in told]):  # At its end, and amid it.
        summary = RunSummary()
        for line in seen:
            summary.fold(line)
        columns = summary.columns()
        assert (columns["return_last"], columns["return_best"]) == (10.0, 10.0)


def test_a_checkpoint_right_after_a_look_has_nothing_new_to_look_at(tmp_path: Path) -> None:
    # After 2,000 steps everything is looked at, and a checkpoint of that very step looks again.
    spec = RunSpec.from_dict(
        {
            "algorithm": "dqn",
            "environment": "Breaks-v0",
            "total_timesteps": 2500,
            "save_freq": 2000,
            "hyperparameters": OFF_POLICY,
        }
    )
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory)
    assert saving.steps_of(directory) == [2000, 2500]
