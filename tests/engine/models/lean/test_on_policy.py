"""The lean loops give the library's policy, optimizer, scalars and random draws, bit for bit."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger

from apps.engine.models.lean.on_policy import LeanPPO, _PPOUpdate
from apps.engine.models.lean.policy import can_be_lean
from apps.errors import Diverged
from tests.engine.models.lean.pairs import PAIRS, SMALL, Rows, tensors_of

ROOT = Path(__file__).resolve().parents[4]
NETWORKS = {"activation_fn": torch.nn.ReLU, "net_arch": {"pi": [16], "vf": [32, 8]}}
CASES = [
    ("ppo", "CartPole-v1", SMALL),
    ("ppo", "CartPole-v1", {**SMALL, "ent_coef": 0.01, "clip_range_vf": 0.1, "batch_size": 50}),
    ("ppo", "Pendulum-v1", {**SMALL, "ent_coef": 0.01, "normalize_advantage": False}),
    ("ppo", "Pendulum-v1", {**SMALL, "target_kl": 0.001, "policy_kwargs": NETWORKS}),
    ("ppo", "FrozenLake-v1", SMALL),
    ("ppo", "ShortWalk-v0", {**SMALL, "learning_rate": lambda left: 1e-3 * left}),
    ("a2c", "CartPole-v1", {}),
    ("a2c", "Pendulum-v1", {"ent_coef": 0.01, "normalize_advantage": True}),
    ("a2c", "Pendulum-v1", {"use_rms_prop": False, "policy_kwargs": {"log_std_init": -1.0}}),
]


def trained(
    kind: type[BaseAlgorithm], environment: str, arguments: dict[str, Any]
) -> tuple[Any, list[dict[str, Any]]]:
    torch.set_num_threads(1)
    env = make_vec_env(environment, n_envs=4, seed=3)
    model = kind("MlpPolicy", env, seed=3, device="cpu", **arguments)
    rows = Rows()
    model.set_logger(Logger(None, [rows]))
    model.learn(600, log_interval=1)
    return model, rows.rows


@pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")
@pytest.mark.parametrize(("algorithm", "environment", "arguments"), CASES)
def test_the_lean_loops_end_where_the_library_s_end(
    algorithm: str, environment: str, arguments: dict[str, Any]
) -> None:
    library, lean = PAIRS[algorithm]
    theirs, their_rows = trained(library, environment, arguments)
    their_draw = torch.rand(3)
    ours, our_rows = trained(lean, environment, arguments)
    assert can_be_lean(ours.policy)
    for one, other in zip(tensors_of(theirs), tensors_of(ours), strict=True):
        assert torch.equal(one, other)
    assert torch.equal(their_draw, torch.rand(3))
    np.testing.assert_equal(our_rows, their_rows)


@pytest.mark.parametrize("algorithm", PAIRS)
def test_a_lean_model_s_file_loads_in_the_library(algorithm: str, tmp_path: Path) -> None:
    library, lean = PAIRS[algorithm]
    ours, _ = trained(lean, "CartPole-v1", {})
    ours.save(tmp_path / "model.zip")
    theirs = library.load(tmp_path / "model.zip", device="cpu")
    observations = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    for one, other in zip(tensors_of(theirs), tensors_of(ours), strict=True):
        assert torch.equal(one, other)
    assert np.array_equal(
        theirs.predict(observations, deterministic=True)[0],
        ours.predict(observations, deterministic=True)[0],
    )


@pytest.mark.parametrize(
    ("environment", "arguments"),
    [
        ("Pendulum-v1", {"use_sde": True}),
        ("CartPole-v1", {"policy_kwargs": {"activation_fn": torch.nn.ELU}}),
        ("CartPole-v1", {"policy_kwargs": {"optimizer_class": torch.optim.SGD}}),
        ("CartPole-v1", {"policy_kwargs": {"optimizer_kwargs": {"weight_decay": 0.1}}}),
        ("ShortWalk-v0", {"env_kwargs": {"actions": "multi_discrete"}}),
    ],
)
def test_what_is_not_written_out_takes_the_library_s_loops(
    environment: str, arguments: dict[str, Any]
) -> None:
    env_kwargs = arguments.pop("env_kwargs", None)
    env = make_vec_env(environment, n_envs=2, seed=3, env_kwargs=env_kwargs)
    model = LeanPPO("MlpPolicy", env, n_steps=32, batch_size=32, device="cpu", **arguments)
    assert not can_be_lean(model.policy)
    model.learn(64)
    assert model._n_updates > 0


@pytest.mark.parametrize("environment", ["CartPole-v1", "Pendulum-v1"])
def test_a_policy_that_is_nan_says_that_training_has_diverged(environment: str) -> None:
    model, _ = trained(LeanPPO, environment, SMALL)
    with torch.no_grad():
        model.policy.action_net.bias.fill_(float("nan"))
    with pytest.raises(Diverged, match="lower learning_rate"):
        model.learn(64)


@pytest.mark.parametrize("seed", range(3))
def test_the_surrogate_s_gradient_is_autograd_s_at_the_bounds_too(seed: int) -> None:
    model, _ = trained(LeanPPO, "CartPole-v1", SMALL)
    lean = model._lean_policy()
    assert lean is not None
    draw = np.random.default_rng(seed)
    bounds = np.float32([0.8, 1.2]).repeat(500)
    # The bounds, the numbers beside them, and others.
    for _ in range(3):
        towards = draw.choice(np.float32([0, 9]), 1000)
        bounds = np.concatenate([bounds, np.nextafter(bounds[-1000:], towards)])
    near = np.concatenate([bounds, draw.uniform(0.5, 1.6, 1000).astype(np.float32)])
    ratio = torch.from_numpy(near).requires_grad_()
    advantages = torch.from_numpy(draw.normal(size=len(near)).astype(np.float32))
    clipped = advantages * torch.clamp(ratio, 1 - 0.2, 1 + 0.2)
    (-torch.min(advantages * ratio, clipped).mean()).backward()  # type: ignore[no-untyped-call]
    assert ratio.grad is not None
    with torch.no_grad():
        ours = _PPOUpdate(model, lean)._surrogate(advantages, ratio, ratio - 1)
        assert torch.equal(ours, ratio.grad * ratio)


@pytest.mark.parametrize("seed", range(3))
def test_minibatches_are_those_of_the_library_s_buffer(seed: int) -> None:
    model, _ = trained(LeanPPO, "CartPole-v1", SMALL)
    lean = model._lean_policy()
    assert lean is not None
    with torch.no_grad():
        ours = model._samples(lean)
        np.random.seed(seed)  # noqa: NPY002 - the stream that both draw from
        parts = [part.returns.numpy() for part in ours.batches(24)]
    np.random.seed(seed)  # noqa: NPY002
    theirs = [part.returns.numpy() for part in model.rollout_buffer.get(24)]
    assert isinstance(model.action_space, spaces.Discrete)
    for one, other in zip(parts, theirs, strict=True):
        assert np.array_equal(one, other)


def test_a_trainer_of_a_lean_model_imports_no_compiler() -> None:
    code = """
import sys
from apps.engine.models.classes import ALGORITHM_CLASSES
from apps.engine.models.devices import leave_compiler_out
leave_compiler_out()
model = ALGORITHM_CLASSES["ppo"]("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu")
model.learn(64)
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert done.stdout.split() == ["False"]
