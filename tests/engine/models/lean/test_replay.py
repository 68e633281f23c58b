"""Lean DQN, TD3, DDPG and SAC give the library's policy, scalars and random draws, bit for bit."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import DDPG, DQN, SAC, TD3
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecNormalize

from apps.engine.models.lean.replay import LeanDDPG, LeanDQN, LeanTD3
from apps.engine.models.lean.sac import LeanSAC
from apps.errors import Diverged
from tests.engine.models.lean.pairs import Rows

PAIRS: dict[str, tuple[Any, Any]] = {
    "dqn": (DQN, LeanDQN),
    "td3": (TD3, LeanTD3),
    "ddpg": (DDPG, LeanDDPG),
    "sac": (SAC, LeanSAC),
}
SMALL: dict[str, Any] = {"learning_starts": 100, "buffer_size": 300, "batch_size": 48}
OTHER: dict[str, Any] = {"net_arch": {"pi": [32, 17], "qf": [64, 33]}, "n_critics": 3}
ONE = {"n_critics": 1}
NOISE = NormalActionNoise(np.zeros(1), np.ones(1))
WIDE = {"net_arch": [256, 256]}
TANH = {"activation_fn": torch.nn.Tanh, "net_arch": [32]}
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("dqn", "CartPole-v1", {"policy_kwargs": WIDE, "target_update_interval": 30}),
    ("dqn", "CartPole-v1", {"train_freq": 8, "gradient_steps": -1, "n_steps": 3}),
    ("dqn", "CartPole-v1", {"max_grad_norm": 0.1}),
    ("dqn", "FrozenLake-v1", {"exploration_final_eps": 0.3, "tau": 0.5, "policy_kwargs": TANH}),
    ("td3", "Pendulum-v1", {"policy_kwargs": {"net_arch": [400, 300]}, "batch_size": 256}),
    ("td3", "ShortWalk-v0", {"policy_kwargs": OTHER, "policy_delay": 3, "gradient_steps": 2}),
    ("ddpg", "Pendulum-v1", {"tau": 0.02, "learning_rate": lambda left: 1e-3 * left}),
    ("sac", "Pendulum-v1", {"policy_kwargs": WIDE, "batch_size": 256}),
    ("sac", "ShortWalk-v0", {"policy_kwargs": OTHER, "ent_coef": 0.1, "gradient_steps": 2}),
    ("sac", "Pendulum-v1", {"policy_kwargs": TANH, "target_update_interval": 2}),
    ("sac", "Pendulum-v1", {"ent_coef": "auto_0.5", "gradient_steps": 2}),
    ("sac", "ShortWalk-v0", {"n_steps": 3, "gradient_steps": -1, "policy_kwargs": ONE}),
    ("td3", "Pendulum-v1", {"n_steps": 2, "action_noise": NOISE}),
]
LARGE_CASES = [case for case in CASES if case[2].get("batch_size") == 256]
TINY = torch.finfo(torch.float32).tiny


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(1)


def made(kind: type[BaseAlgorithm], environment: str, arguments: dict[str, Any]) -> Any:
    keywords = {"actions": "plane"} if environment == "ShortWalk-v0" else {}
    env: Any = make_vec_env(environment, n_envs=2, seed=3, env_kwargs=keywords)
    if environment == "Pendulum-v1":
        env = VecNormalize(env)
    arguments = deepcopy({**SMALL, **arguments})  # The library writes into them.
    return kind("MlpPolicy", env, seed=3, device="cpu", **arguments)


def trained(
    kind: type[BaseAlgorithm], environment: str, arguments: dict[str, Any]
) -> tuple[Any, list[dict[str, Any]]]:
    model = made(kind, environment, arguments)
    rows = Rows()
    model.set_logger(Logger(None, [rows]))
    model.learn(350, log_interval=1)
    return model, rows.rows


def tensors_of(model: Any) -> list[torch.Tensor]:
    """All that is saved, moments below the least normal number as zero."""
    found = []
    for part in model.get_parameters().values():
        states = part["state"].values() if "state" in part else [part]
        found += [state[name] for state in states for name in sorted(state)]
    return [torch.where(each.abs() < TINY, 0.0, each) for each in found]


@pytest.mark.parametrize(("algorithm", "environment", "arguments"), CASES)
def test_the_lean_loops_end_where_the_library_s_end(
    algorithm: str, environment: str, arguments: dict[str, Any]
) -> None:
    assert_same_end(algorithm, environment, arguments)


@pytest.mark.parametrize(("algorithm", "environment", "arguments"), LARGE_CASES)
def test_so_they_do_in_two_threads(
    algorithm: str, environment: str, arguments: dict[str, Any]
) -> None:
    torch.set_num_threads(2)
    assert_same_end(algorithm, environment, arguments)


def assert_same_end(algorithm: str, environment: str, arguments: dict[str, Any]) -> None:
    library, lean = PAIRS[algorithm]
    theirs, their_rows = trained(library, environment, arguments)
    their_draws = torch.rand(3), np.random.rand()  # noqa: NPY002 - what the library draws from
    ours, our_rows = trained(lean, environment, arguments)
    assert ours.up_to_date() is not None
    for one, other in zip(tensors_of(theirs), tensors_of(ours), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(their_draws[0], torch.rand(3))
    assert their_draws[1] == np.random.rand()  # noqa: NPY002
    np.testing.assert_equal(our_rows, their_rows)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_lean_model_s_file_loads_in_the_library(algorithm: str, tmp_path: Path) -> None:
    library, lean = PAIRS[algorithm]
    environment = "CartPole-v1" if algorithm == "dqn" else "Pendulum-v1"
    ours, _ = trained(lean, environment, {})
    ours.save(tmp_path / "model.zip")
    theirs = library.load(tmp_path / "model.zip", device="cpu")
    assert type(theirs) is library
    for one, other in zip(tensors_of(theirs), tensors_of(ours), strict=True):
        assert torch.equal(one, other)
    shape = (50, *ours.observation_space.shape)
    observations = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    assert np.array_equal(
        theirs.predict(observations, deterministic=True)[0],
        ours.predict(observations, deterministic=True)[0],
    )


class SaveAt(BaseCallback):
    """Saves once, in the middle of a training."""

    def __init__(self, step: int, path: Path) -> None:
        super().__init__()
        self.step, self.path = step, path

    def _on_step(self) -> bool:
        if self.num_timesteps == self.step:
            self.model.save(self.path)
        return True


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_file_saved_in_the_middle_is_the_library_s(algorithm: str, tmp_path: Path) -> None:
    environment = "CartPole-v1" if algorithm == "dqn" else "Pendulum-v1"
    saved = []
    for kind in PAIRS[algorithm]:
        path = tmp_path / f"{kind.__name__}.zip"
        made(kind, environment, {}).learn(300, callback=SaveAt(200, path))
        saved.append(PAIRS[algorithm][0].load(path, device="cpu"))
    for one, other in zip(*map(tensors_of, saved), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("was", [False, True])
def test_tiny_numbers_are_zero_in_the_optimizer_s_step_alone(was: bool) -> None:
    torch.set_flush_denormal(was)
    try:
        trained(LeanDQN, "CartPole-v1", {})
        assert (float(torch.tensor(1e-39) * 1) == 0) == was
    finally:
        torch.set_flush_denormal(False)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_parameters_that_took_other_numbers_of_steps_take_the_library_s_loops(
    algorithm: str,
) -> None:
    environment = "CartPole-v1" if algorithm == "dqn" else "Pendulum-v1"
    model, _ = trained(PAIRS[algorithm][1], environment, {})
    parameters = model.get_parameters()
    name = next(name for name in sorted(parameters) if name.endswith("optimizer"))
    parameters[name]["state"].pop(0)
    model.set_parameters(parameters)
    assert model.up_to_date() is None


@pytest.mark.parametrize("algorithm", PAIRS)
def test_what_a_checkpoint_brings_back_is_taken_up(algorithm: str) -> None:
    environment = "CartPole-v1" if algorithm == "dqn" else "Pendulum-v1"
    fixed = {"ent_coef": 0.2} if algorithm == "sac" else {}  # What it learns is saved elsewhere.
    model, _ = trained(PAIRS[algorithm][1], environment, fixed)
    saved, n_updates = deepcopy(model.get_parameters()), model._n_updates
    found = []
    for _ in range(2):
        model.set_parameters(deepcopy(saved))  # Optimizers keep what they are given.
        model._n_updates = n_updates
        model.set_random_seed(7)
        model.train(gradient_steps=5, batch_size=48)
        found.append([tensor.clone() for tensor in tensors_of(model)])
    assert all(map(torch.equal, *found))
    model.set_parameters(saved)
    assert not all(map(torch.equal, found[0], tensors_of(model)))


@pytest.mark.parametrize(
    ("algorithm", "environment", "arguments"),
    [
        ("sac", "Pendulum-v1", {"use_sde": True}),
        ("sac", "Pendulum-v1", {"use_sde": True, "policy_kwargs": {"clip_mean": 0.0}}),
        ("dqn", "CartPole-v1", {"policy_kwargs": {"activation_fn": torch.nn.ELU}}),
        ("td3", "Pendulum-v1", {"policy_kwargs": {"optimizer_class": torch.optim.SGD}}),
        ("sac", "Pendulum-v1", {"policy_kwargs": {"optimizer_kwargs": {"weight_decay": 0.1}}}),
    ],
)
def test_what_is_not_written_out_takes_the_library_s_loops(
    algorithm: str, environment: str, arguments: dict[str, Any]
) -> None:
    library, lean = PAIRS[algorithm]
    theirs, _ = trained(library, environment, arguments)
    ours, _ = trained(lean, environment, arguments)
    assert ours.up_to_date() is None
    for one, other in zip(tensors_of(theirs), tensors_of(ours), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_policy_that_is_nan_says_that_training_has_diverged(algorithm: str) -> None:
    environment = "CartPole-v1" if algorithm == "dqn" else "Pendulum-v1"
    model, _ = trained(PAIRS[algorithm][1], environment, {})
    model.exploration_rate = model.exploration_initial_eps = model.exploration_final_eps = 0.0
    with torch.no_grad():
        for parameter in model.policy.parameters():
            parameter.fill_(float("nan"))
    with pytest.raises(Diverged, match="lower learning_rate"):
        model.learn(64, reset_num_timesteps=False)
