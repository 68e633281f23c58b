"""Random steps in an environment: an action, and the time that a step takes."""

import time
from typing import Any

import numpy as np
from gymnasium import spaces

from apps.engine.environments.making import Env

MAX_TIMED_S = 0.25
MAX_TIMED_STEPS = 256


def seconds_per_step(env: Env, seed: int) -> float:
    """Return how long a random step takes, resets between episodes included.

    Args:
        env: The environment as the learner sees it, wrappers included.
        seed: Seed of its reset and of the actions.
    """
    env.action_space.seed(seed)
    env.reset(seed=seed)
    steps, started = 0, time.perf_counter()
    while steps < MAX_TIMED_STEPS:
        _, _, is_terminated, is_truncated, _ = env.step(random_action(env))
        steps += 1
        if is_terminated or is_truncated:
            env.reset()
        if time.perf_counter() - started > MAX_TIMED_S:
            break
    return (time.perf_counter() - started) / steps


def random_action(env: Env) -> Any:
    """Return a random action, a valid one where the environment says which are."""
    space = env.action_space
    if isinstance(space, spaces.Discrete) and env.has_wrapper_attr("action_masks"):
        masks = np.asarray(env.get_wrapper_attr("action_masks")(), dtype=np.int8)
        return space.sample(mask=masks)
    return space.sample()
