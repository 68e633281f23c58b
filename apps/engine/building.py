"""Construct a model for a spec: class, policy, device, threads, constructor arguments."""

from typing import Any

import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from apps.engine.algorithms import SCHEDULE_PREFIX
from apps.engine.errors import EngineError
from apps.engine.spec import RunSpec

ALGORITHM_CLASSES: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "dqn": DQN}
ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "elu": torch.nn.ELU,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
}


def build_model(spec: RunSpec, env: VecEnv) -> BaseAlgorithm:
    """Construct the algorithm's model for an environment, threads and device set for it.

    Raises:
        InvalidSpec: The algorithm cannot act in the environment.
        EngineError: The device is not there.
    """
    is_image = is_image_space(env.observation_space)
    torch.set_num_threads(threads_for(is_image))
    algorithm_class = ALGORITHM_CLASSES[spec.algorithm]
    return algorithm_class(
        policy_for(env.observation_space),
        env,
        seed=spec.seed,
        device=device_for(spec.device, is_image),
        **constructor_arguments(spec),
    )


def policy_for(observation_space: spaces.Space[Any]) -> str:
    """Return the name of the policy that reads an observation space."""
    if isinstance(observation_space, spaces.Dict):
        return "MultiInputPolicy"
    return "CnnPolicy" if is_image_space(observation_space) else "MlpPolicy"


def threads_for(is_image: bool) -> int:
    """Return how many torch threads to use.

    One for small networks: two such runs side by side on two cores make 14,000 steps/s together
    with one thread each, and about 100 with torch's default. Convolutions gain from more.
    """
    return max(1, torch.get_num_threads()) if is_image else 1


def device_for(wanted: str, is_image: bool) -> str:
    """Return the device to train on; `auto` is CUDA for convolutions where there is a GPU.

    Raises:
        EngineError: CUDA is wanted and not there.
    """
    has_cuda = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if has_cuda and is_image else "cpu"
    if wanted == "cuda" and not has_cuda:
        raise EngineError("device 'cuda' is not available on this machine; use auto or cpu")
    return wanted


def constructor_arguments(spec: RunSpec) -> dict[str, Any]:
    """Turn a spec's hyperparameters into keyword arguments of the algorithm's constructor."""
    arguments = dict(spec.hyperparameters)
    net_arch = arguments.pop("net_arch", None)
    activation = arguments.pop("activation_fn", None)
    for name, value in arguments.items():
        if isinstance(value, str) and value.startswith(SCHEDULE_PREFIX):
            arguments[name] = LinearSchedule(float(value.removeprefix(SCHEDULE_PREFIX)), 0.0, 1.0)
    policy_kwargs: dict[str, Any] = {}
    if net_arch is not None:
        policy_kwargs["net_arch"] = net_arch
    if activation is not None:
        policy_kwargs["activation_fn"] = ACTIVATIONS[activation]
    if policy_kwargs:
        arguments["policy_kwargs"] = policy_kwargs
    return arguments
