"""Construct what a spec trains with: environments, class, policy, device, arguments."""

from dataclasses import replace

import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.vec_env import VecEnv

from apps.engine.environments.making import describe_spaces, import_wrapper
from apps.engine.models.arguments import constructor_arguments, policy_for
from apps.engine.models.classes import class_for
from apps.engine.models.devices import device_for, threads_for
from apps.engine.wrappers import FrameStack
from apps.errors import EngineError, FieldError, InvalidSpec
from apps.spec.fitting import check_goals, unfit
from apps.spec.run import RunSpec


def build_model(
    spec: RunSpec, env: VecEnv, threads: int | None = None, share: int | None = None
) -> BaseAlgorithm:
    """Construct the algorithm's model for an environment, threads and device set for it.

    Args:
        spec: The run's spec.
        env: Its environments.
        threads: In how many threads it computes; None: as `threads_for` has it.
        share: The most that it may take then; None: all there are.

    Raises:
        InvalidSpec: The algorithm, or one of its options, cannot act in the environment.
        EngineError: The device is not there, or the environment lacks a wrapper of the spec.
    """
    algorithm = spec.schema
    if algorithm.needs_action_masks and not env.has_attr("action_masks"):
        raise InvalidSpec(
            [
                FieldError(
                    "environment",
                    f"{spec.environment} has no action_masks() that says which actions are "
                    "valid, and "
                    f"{algorithm.title} needs it; add a wrapper that has it, or use ppo",
                )
            ]
        )
    described = describe_spaces(spec.environment, env.observation_space, env.action_space)
    has_masks = spec.schema.needs_action_masks  # Asked for above.
    if error := unfit(spec, replace(described, has_action_masks=has_masks)):
        raise InvalidSpec([error])
    _check_wrappers(spec, env)
    _check_goals(spec, env)
    is_image = is_image_space(env.observation_space)
    torch.set_num_threads(threads or threads_for(spec, is_image, share))
    return class_for(spec)(
        policy_for(algorithm, env.observation_space, spec.hyperparameters),
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


def _check_goals(spec: RunSpec, env: VecEnv) -> None:
    space = env.observation_space
    parts = [*space] if isinstance(space, spaces.Dict) else []
    check_goals(spec.hyperparameters, spec.environment, parts)
    if spec.hyperparameters.get("her") and not env.has_attr("compute_reward"):
        raise InvalidSpec(
            [
                FieldError(
                    "hyperparameters.her",
                    f"true is not allowed in {spec.environment}: it has no "
                    "compute_reward(achieved_goal, "
                    "desired_goal, info), which says what another goal would have paid; set it "
                    "to false",
                )
            ]
        )
