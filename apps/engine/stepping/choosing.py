"""Make the environments that a run trains in, stepped as it asks or as suits them best.

What was asked for and cannot be had is told, and the environments are stepped in process.
"""

import logging
import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from apps.catalogue.stepping import is_game
from apps.engine.environments.making import Env, describe_spaces, training_wrapper
from apps.engine.environments.random_steps import seconds_per_step
from apps.engine.stepping.atari import make_native_atari
from apps.engine.stepping.making import make_env_for, make_vec_env_for
from apps.engine.stepping.native import NativeVecEnv, NoNative, make_native
from apps.engine.stepping.normalized import normalized
from apps.engine.stepping.subprocesses import ProcessEnded
from apps.spec.fitting import check_fit
from apps.spec.run import RunSpec

# What speaking to one process costs the trainer for each step of its environment.
PIPE_S = 70e-6
# Processes are started, and memory is taken, only for what is worth it.
LEAST_GAIN = 1.25
LEAST_SAVED_S = 20.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """How environments are stepped, and why.

    Attributes:
        asked: What the spec says.
        used: What is done.
        reason: Why, in words; empty where it is what the spec says.
        is_fallback: Whether something else was asked for and could not be had.
        figures: What decided it: `step_s` of one environment, `cores`, and the seconds of a step
            of all environments in one process and in their own, `in_process_s` and
            `in_processes_s`.
    """

    asked: str
    used: str
    reason: str = ""
    is_fallback: bool = False
    figures: dict[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the choice as JSON-ready data."""
        return asdict(self)


def vectorized(
    spec: RunSpec, around: Callable[[Env], Env] = lambda env: env, before: str = ""
) -> tuple[VecEnv, Choice]:
    """Make a run's environments, seeded, with all of their wrappers.

    Args:
        spec: The run's spec.
        around: As for `make_vec_env_for`; nothing is around what steps natively.
        before: How they were stepped in the checkpoint that the run goes on from; empty for none.

    Raises:
        UnknownEnvironment: As for `make_env_for`.
        InvalidSpec: The spec does not fit its environment.
    """
    choice = _choose(spec, before)
    try:
        return _made(spec, around, choice.used), choice
    except (NoNative, ProcessEnded) as error:
        choice = _fallback(spec, error)
        logger.warning("%s", choice.reason)
        return _made(spec, around, choice.used), choice


def expected(spec: RunSpec) -> Choice:
    """Return how `vectorized` would step a new run's environments."""
    choice = _choose(spec)
    if choice.used == "native":
        try:
            _make_native(replace(spec, n_envs=1)).close()
        except NoNative as error:
            return _fallback(spec, error)
    return choice


def _fallback(spec: RunSpec, error: Exception) -> Choice:
    reason = f"{error}; its environments are stepped in this process, one after the other"
    return Choice(spec.vectorization, "dummy", reason, is_fallback=True)


def _made(spec: RunSpec, around: Callable[[Env], Env], vectorization: str) -> VecEnv:
    if vectorization != "native":
        return make_vec_env_for(spec, around, in_processes=vectorization == "subprocess")
    env = _make_native(spec)
    # What asks each environment by itself is not stepped natively, so its spaces tell enough.
    check_fit(spec, describe_spaces(spec.environment, env.observation_space, env.action_space))
    env.seed(spec.seed)
    return normalized(env, spec)


def _make_native(spec: RunSpec) -> NativeVecEnv:
    if is_game(spec.environment):
        return make_native_atari(spec, usable_cores())
    return make_native(spec.environment, spec.environment_kwargs, spec.n_envs)


def _choose(spec: RunSpec, before: str = "") -> Choice:
    asked = spec.vectorization
    if before:
        return Choice(asked, before, "" if before == asked else "as it began")
    if asked != "auto":
        return Choice(asked, asked)
    cores = usable_cores()
    if spec.n_envs == 1 or cores == 1:
        return Choice(asked, "dummy", "one environment" if spec.n_envs == 1 else "one core")
    env = training_wrapper(spec.wrappers)(make_env_for(spec))
    try:
        step_s = seconds_per_step(env, spec.seed)
    finally:
        env.close()
    return suiting(spec, step_s, cores)


def suiting(spec: RunSpec, step_s: float, cores: int) -> Choice:
    """Choose between one process and many.

    Args:
        spec: The run's spec, which asks for `auto`.
        step_s: Seconds that a step of one environment takes.
        cores: Processor cores that the run may use.
    """
    in_process_s = spec.n_envs * step_s
    in_processes_s = math.ceil(spec.n_envs / cores) * step_s + spec.n_envs * PIPE_S
    saved_s = spec.total_timesteps / spec.n_envs * (in_process_s - in_processes_s)
    gain = in_process_s / in_processes_s
    pays = gain >= LEAST_GAIN and saved_s >= LEAST_SAVED_S
    return Choice(
        spec.vectorization,
        "subprocess" if pays else "dummy",
        f"a step of one environment takes {step_s * 1e6:,.0f} µs: processes of their own would "
        f"step {spec.n_envs} of them {gain:.2f} times as fast on {cores} cores",
        figures={
            "step_s": step_s,
            "cores": cores,
            "in_process_s": in_process_s,
            "in_processes_s": in_processes_s,
        },
    )


def usable_cores() -> int:
    """Return how many processor cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
