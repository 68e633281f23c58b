"""Bytes that an environment's observations and actions take, one by one and in buffers."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.descriptions import SpaceDescription

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
