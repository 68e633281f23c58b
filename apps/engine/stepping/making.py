"""The environments of a spec, one or many, counted and in plain spaces."""

from collections.abc import Callable
from typing import cast

from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import VecEnv

from apps.engine.environments.making import Env, describe_made, make_env, training_wrapper
from apps.engine.stepping.episode_monitor import EpisodeMonitor
from apps.engine.stepping.in_process import InProcess
from apps.engine.stepping.normalized import normalized
from apps.engine.stepping.subprocesses import OwnProcess, Processes
from apps.spec.fitting import check_fit
from apps.spec.run import RunSpec


def make_env_for(spec: RunSpec, render_mode: str | None = None) -> Env:
    """Construct a run's environment with its wrappers, as training and evaluation both see it.

    What is for training only (`environments.training_wrapper`) is not in it.

    Raises:
        UnknownEnvironment: It cannot be made, or a wrapper cannot be found or refuses it.
    """
    return make_env(
        spec.environment,
        spec.environment_kwargs,
        render_mode,
        wrappers=spec.wrappers,
        frame_stack=spec.frame_stack,
    )


def make_vec_env_for(
    spec: RunSpec, around: Callable[[Env], Env] = lambda env: env, in_processes: bool = False
) -> VecEnv:
    """Construct what a run trains in: `n_envs` seeded environments with all of their wrappers.

    Episodes and returns are counted inside the wrappers that are for training only, and before
    anything is normalised, so that they mean the same as an evaluation's.

    Args:
        spec: The run's spec.
        around: Puts one more wrapper around each environment, inside of that count.
        in_processes: Whether each environment has a process of its own.

    Raises:
        UnknownEnvironment: As for `make_env_for`.
        ProcessEnded: An environment could not be made in a process of its own.
        InvalidSpec: The spec does not fit its environment.
    """
    wrap = training_wrapper(spec.wrappers)
    around_episodes = OwnProcess if in_processes else _as_it_is
    env = make_vec_env(
        lambda: around(make_env_for(spec)),
        n_envs=spec.n_envs,
        seed=spec.seed,
        # The library puts its own Monitor there.
        wrapper_class=lambda env: around_episodes(
            _judged(
                wrap(EpisodeMonitor(cast(Monitor, env).env, rounds=spec.algorithm == "ars")), spec
            )
        ),
        vec_env_cls=Processes if in_processes else InProcess,
    )
    return normalized(env, spec)


def _judged(env: Env, spec: RunSpec) -> Env:
    """Return an environment that a spec fits; the living one has what is for training only.

    It is asked before vectors are made of it: they know no space that nothing can be trained in.
    In a process of its own a refusal ends that, and is told when it is made in this one instead.
    """
    check_fit(spec, describe_made(spec.environment, env))
    return env


def _as_it_is(env: Env) -> Env:
    return env
