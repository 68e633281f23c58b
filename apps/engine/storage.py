"""How much memory and disk a training takes, reckoned from its spaces: no library is needed.

The arrays are those of the buffers of Stable-Baselines3 and sb3-contrib; a test compares them.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np

from apps.engine import gpu
from apps.engine.algorithms import ALGORITHMS
from apps.engine.backends import BACKENDS
from apps.engine.descriptions import EnvironmentDescription, SpaceDescription
from apps.engine.machine import PROCESS_BYTES
from apps.engine.spec import RunSpec

FLOAT_BYTES = 4
REPLAY_FLOATS = 3  # Of each transition: reward, done, timeout.
ROLLOUT_FLOATS = 6  # Of each step: reward, return, value, advantage, log probability, start.


def element_bytes(space: SpaceDescription) -> int:
    """Return the bytes of one element of a space in a buffer."""
    if space.parts:
        return sum(element_bytes(part) for part in space.parts.values())
    return max(space.size, 1) * np.dtype(space.dtype).itemsize


def transition_bytes(observation: SpaceDescription, action: SpaceDescription) -> int:
    """Return the bytes of one transition in a replay buffer: it holds both observations."""
    # The buffer keeps actions of 64 bits as floats of 32.
    action_bytes = max(action.size, 1) * (
        FLOAT_BYTES if action.dtype == "float64" else np.dtype(action.dtype).itemsize
    )
    return 2 * element_bytes(observation) + action_bytes + REPLAY_FLOATS * FLOAT_BYTES


def buffer_bytes(
    algorithm: str,
    hyperparameters: Mapping[str, Any],
    n_envs: int,
    observation: SpaceDescription,
    action: SpaceDescription,
) -> int:
    """Return the bytes of what an algorithm learns from: a replay buffer, or a rollout.

    Args:
        algorithm: Key of the algorithm catalogue.
        hyperparameters: Every hyperparameter of it.
        n_envs: Parallel environments.
        observation: The observation space as trained in.
        action: The action space.
    """
    if ALGORITHMS[algorithm].has_replay_buffer:
        rows = max(int(hyperparameters["buffer_size"]) // n_envs, 1) * n_envs
        return rows * transition_bytes(observation, action)
    if not ALGORITHMS[algorithm].is_on_policy:
        return 0
    step_bytes = element_bytes(observation) + element_bytes(action) + ROLLOUT_FLOATS * FLOAT_BYTES
    if ALGORITHMS[algorithm].is_recurrent:  # Hidden and cell state of the policy and the critic.
        layers, width = hyperparameters["n_lstm_layers"], hyperparameters["lstm_hidden_size"]
        step_bytes += 4 * layers * width * FLOAT_BYTES
    return int(hyperparameters["n_steps"] * n_envs * step_bytes)


def spec_buffer_bytes(
    spec: RunSpec, description: EnvironmentDescription, steps: int | None = None
) -> int:
    """Return the bytes of what a run learns from.

    Args:
        spec: The run's spec.
        description: What its environment says of itself.
        steps: Only as far as so many steps fill a replay buffer; None: all that is allocated.
    """
    values = spec.hyperparameters
    if "buffer_size" in values and steps is not None:
        values = {**values, "buffer_size": min(values["buffer_size"], steps)}
    spaces = description.observation_space, description.action_space
    return buffer_bytes(spec.algorithm, values, spec.n_envs, *spaces)


def training_bytes(spec: RunSpec, description: EnvironmentDescription) -> int:
    """Return about how many bytes of memory a training takes when it has filled its buffer.

    A check before a run (`preflight`) measures instead of reckoning, and counts large networks
    and environments as well.
    """
    return PROCESS_BYTES + spec_buffer_bytes(spec, description, spec.total_timesteps)


def gpu_bytes(spec: RunSpec, description: EnvironmentDescription) -> int:
    """Return about how many bytes of a GPU's memory a training takes where there is a GPU.

    Buffers are not counted: rollouts lie there only where there is room (`lean.device_buffer`). 0
    for what trains on the processor.
    """
    seen = description.observation_space
    if spec.device == "cpu" or "cuda" not in BACKENDS[spec.backend].devices:
        return 0
    if spec.device == "auto" and not seen.is_image:
        return 0
    values = spec.hyperparameters
    batch: int = values.get("batch_size") or values.get("n_steps", 1) * spec.n_envs
    return gpu.PROCESS_BYTES + gpu.BATCH_COPIES * batch * max(seen.size, 1) * FLOAT_BYTES
