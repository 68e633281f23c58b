"""Construct what a spec trains with: environments, class, policy, device, arguments."""

import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from apps.engine.environments.making import import_wrapper
from apps.engine.models.arguments import constructor_arguments, policy_for
from apps.engine.models.classes import class_for
from apps.engine.models.devices import device_for, threads_for
from apps.engine.wrappers import FrameStack
from apps.errors import EngineError
from apps.spec.run import RunSpec


def build_model(
    spec: RunSpec, env: VecEnv, threads: int | None = None, share: int | None = None
) -> BaseAlgorithm:
    """Construct the algorithm's model for an environment, threads and device set for it.

    Args:
        spec: The run's spec.
        env: Its environments, as `vectorized` or `make_vec_env_for` judged them to fit.
        threads: In how many threads it computes; None: as `threads_for` has it.
        share: The most that it may take then; None: all there are.

    Raises:
        EngineError: The device is not there, or the environment lacks a wrapper of the spec.
    """
    _check_wrappers(spec, env)
    is_image = is_image_space(env.observation_space)
    torch.set_num_threads(threads or threads_for(spec, is_image, share))
    return class_for(spec)(
        policy_for(spec.schema, env.observation_space, spec.hyperparameters),
        env,
        seed=spec.seed,
        device=device_for(spec.device, is_image),
        **constructor_arguments(spec, env.action_space),
    )


def _check_wrappers(spec: RunSpec, env: VecEnv) -> None:
    """Refuse to train without what evaluation will play with: the returns would not compare."""
    paths = [wrapper if isinstance(wrapper, str) else wrapper["path"] for wrapper in spec.wrappers]
    wanted = [import_wrapper(path) for path in paths] + [FrameStack] * bool(spec.frame_stack)
    for wrapper in wanted:
        if not all(env.env_is_wrapped(wrapper)):
            raise EngineError(
                f"the environment of this run lacks {wrapper.__name__}, which its spec asks for"
            )
