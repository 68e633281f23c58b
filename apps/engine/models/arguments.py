"""What a spec's hyperparameters become as arguments of a model's constructor."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
)
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.utils import LinearSchedule

from apps.catalogue.algorithms.algorithm import Algorithm, ObservationKind
from apps.catalogue.algorithms.backends import DEFAULT_BACKEND
from apps.catalogue.algorithms.off_policy import HINDSIGHT_KEYWORDS
from apps.catalogue.algorithms.schema import SCHEDULE_PREFIX
from apps.engine.models.classes import _sbx_models
from apps.spec.run import RunSpec

ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "elu": torch.nn.ELU,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
}


NOISES: dict[str, type[ActionNoise]] = {
    "normal": NormalActionNoise,
    "ornstein-uhlenbeck": OrnsteinUhlenbeckActionNoise,
}


def observation_kind(space: spaces.Space[Any]) -> ObservationKind:
    """Return the kind of policy that an observation space needs."""
    if isinstance(space, spaces.Dict):
        return "dict"
    return "image" if is_image_space(space) else "vector"


def policy_for(
    algorithm: Algorithm,
    observation_space: spaces.Space[Any],
    hyperparameters: Mapping[str, Any],
) -> str:
    """Return the name of the policy that reads an observation space that the algorithm reads."""
    if hyperparameters.get("policy") == "linear":
        return "LinearPolicy"
    kind = observation_kind(observation_space)
    stem = {"dict": "MultiInput", "image": "Cnn", "vector": "Mlp"}[kind]
    return f"{stem}LstmPolicy" if algorithm.is_recurrent else f"{stem}Policy"


def constructor_arguments(
    spec: RunSpec, action_space: spaces.Space[Any] | None = None
) -> dict[str, Any]:
    """Turn a spec's hyperparameters into keyword arguments of the algorithm's constructor.

    Args:
        spec: The run's spec.
        action_space: Where the algorithm will act; action noise has its shape.
    """
    schemas = spec.schema.hyperparameters
    ours = {name: value for name, value in spec.hyperparameters.items() if schemas[name].is_ours}
    # The library's schedules run over fractions of the whole run.
    share = spec.schedule_length / spec.total_timesteps
    arguments = {
        name: _argument(name, value, share)
        for name, value in spec.hyperparameters.items()
        if name not in ours
    }
    noise = _action_noise(ours.pop("noise_type", "none"), ours.pop("noise_std", 0.0), action_space)
    if noise:
        arguments["action_noise"] = noise
    goals = {name: ours.pop(name) for name in HINDSIGHT_KEYWORDS & ours.keys()}
    if ours.pop("her", False):
        arguments["replay_buffer_class"] = HerReplayBuffer
        arguments["replay_buffer_kwargs"] = goals
    policy_kwargs = _policy_kwargs(spec.schema, ours)
    return {**arguments, "policy_kwargs": policy_kwargs} if policy_kwargs else arguments


def _argument(name: str, value: Any, share: float) -> Any:
    if isinstance(value, str) and value.startswith(SCHEDULE_PREFIX):
        return LinearSchedule(float(value.removeprefix(SCHEDULE_PREFIX)), 0.0, share)
    if name == "exploration_fraction":
        return value * share
    return (1, "episode") if name == "train_freq" and value == "episode" else value


def _action_noise(
    noise_type: str, std: float, action_space: spaces.Space[Any] | None
) -> ActionNoise | None:
    if noise_type == "none" or not isinstance(action_space, spaces.Box):
        return None
    size = int(np.prod(action_space.shape))
    return NOISES[noise_type](np.zeros(size), std * np.ones(size))  # type: ignore[call-arg]


def _policy_kwargs(algorithm: Algorithm, ours: dict[str, Any]) -> dict[str, Any]:
    """Return keywords of the policy; what equals its own default is left to it."""
    schemas = algorithm.hyperparameters
    kwargs = {
        name: value
        for name, value in ours.items()
        if value != schemas[name].default and name not in {"policy", "critic_net_arch"}
    }
    if "activation_fn" in kwargs:
        known = ACTIVATIONS if algorithm.backend == DEFAULT_BACKEND else _sbx_models().ACTIVATIONS
        kwargs["activation_fn"] = known[kwargs["activation_fn"]]
    if critic := ours.get("critic_net_arch"):
        critic_key = "vf" if algorithm.is_on_policy else "qf"
        kwargs["net_arch"] = {"pi": ours["net_arch"], critic_key: critic}
    return kwargs
