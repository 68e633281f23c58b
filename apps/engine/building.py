"""Construct what a spec trains with: environments, class, policy, device, arguments."""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from importlib import import_module
from itertools import pairwise
from types import ModuleType
from typing import Any, cast

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
)
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from apps.engine import checkpoints
from apps.engine.algorithms import ALGORITHMS, SCHEDULE_PREFIX, Algorithm, ObservationKind
from apps.engine.backends import BACKENDS, DEFAULT_BACKEND
from apps.engine.checkpoint_files import FLAX_FILE, verify
from apps.engine.conflicts import check_goals
from apps.engine.environment_profiles import unfit
from apps.engine.environments import (
    Env,
    describe_spaces,
    import_wrapper,
    make_env,
    training_wrapper,
)
from apps.engine.episode_monitor import EpisodeMonitor
from apps.engine.errors import EngineError, FieldError, InvalidSpec
from apps.engine.hyperparameter_groups import HINDSIGHT_KEYWORDS
from apps.engine.in_process_vec_env import InProcess
from apps.engine.networks import load_networks
from apps.engine.rundir import RunDirectory
from apps.engine.spec import RunSpec
from apps.engine.subprocess_vec_env import OwnProcess, Processes
from apps.engine.vec_normalize import normalized
from apps.engine.wrappers import FrameStack

# Where a class of ours stands for the library's: corrected for the engine to watch it, or lean.
OUR_CLASSES = {
    "ars": "apps.engine.ars:ObservableARS",
    "ppo": "apps.engine.lean.on_policy:LeanPPO",
    "a2c": "apps.engine.lean.on_policy:LeanA2C",
    "dqn": "apps.engine.lean.replay:LeanDQN",
    "td3": "apps.engine.lean.replay:LeanTD3",
    "ddpg": "apps.engine.lean.replay:LeanDDPG",
    "sac": "apps.engine.lean.sac:LeanSAC",
}
# OMP_NUM_THREADS, else all cores. As the process began: whatever it trained before must not decide
# in which order sums are taken.
DEFAULT_THREADS = torch.get_num_threads()
# Of SAC's layers of 256 a second thread makes a step a fifth faster with batches of 256, and no
# faster with batches of 128.
WORK_OF_A_THREAD = 1 << 23
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


class _AlgorithmClasses(Mapping[str, type[BaseAlgorithm]]):
    """The class of each algorithm by name; sb3-contrib is imported only when it is asked for."""

    def __getitem__(self, name: str) -> type[BaseAlgorithm]:
        path = OUR_CLASSES.get(name, ALGORITHMS[name].class_path)
        module, _, class_name = path.partition(":")
        return cast(type[BaseAlgorithm], getattr(import_module(module), class_name))

    def __iter__(self) -> Iterator[str]:
        return iter(ALGORITHMS)

    def __len__(self) -> int:
        return len(ALGORITHMS)


ALGORITHM_CLASSES: Mapping[str, type[BaseAlgorithm]] = _AlgorithmClasses()


def class_for(spec: RunSpec) -> type[BaseAlgorithm]:
    """Return the class that a spec's backend has for its algorithm.

    Raises:
        EngineError: The backend is not installed.
    """
    if spec.backend == DEFAULT_BACKEND:
        return ALGORITHM_CLASSES[spec.algorithm]
    return cast(type[BaseAlgorithm], getattr(_sbx_models(), spec.schema.title))


def _sbx_models() -> ModuleType:
    """Import the models of backend sbx; JAX then computes on the CPU, in as many threads as torch.

    Two runs of SAC side by side on two cores need 15 % less CPU time each with one thread.
    """
    if words := BACKENDS["sbx"].missing():
        raise EngineError(words)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("PJRT_NPROC", str(torch.get_num_threads()))
    return import_module("apps.engine.sbx_models")


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
        InvalidSpec: Observations that cannot be normalised are to be.
    """
    wrap = training_wrapper(spec.wrappers)
    around_episodes = OwnProcess if in_processes else _as_it_is
    env = make_vec_env(
        lambda: around(make_env_for(spec)),
        n_envs=spec.n_envs,
        seed=spec.seed,
        # The library puts its own Monitor there.
        wrapper_class=lambda env: around_episodes(
            wrap(EpisodeMonitor(cast(Monitor, env).env, rounds=spec.algorithm == "ars"))
        ),
        vec_env_cls=Processes if in_processes else InProcess,
    )
    return normalized(env, spec)


def _as_it_is(env: Env) -> Env:
    return env


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
        raise InvalidSpec([FieldError(
            "environment",
            f"{spec.environment} has no action_masks() that says which actions are valid, and "
            f"{algorithm.title} needs it; add a wrapper that has it, or use ppo",
        )])  # fmt: skip
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


def load_model(
    spec: RunSpec, directory: RunDirectory, step: int, manifest_sha256: str | None = None
) -> BaseAlgorithm:
    """Load the model of a run's checkpoint to play with, on the CPU.

    Args:
        spec: The run's spec.
        directory: The run's directory.
        step: Step of the checkpoint.
        manifest_sha256: As for `checkpoint_files.verify`.

    Raises:
        DamagedCheckpoint: As `checkpoints.load`.
    """
    if spec.backend == DEFAULT_BACKEND:
        algorithm_class = ALGORITHM_CLASSES[spec.algorithm]
        return checkpoints.load(algorithm_class, directory, step, "cpu", manifest_sha256)
    verify(directory, step, manifest_sha256, only=FLAX_FILE)
    env = make_vec_env_for(replace(spec, n_envs=1))
    model = build_model(_without_experience(spec), env, threads=1)
    env.close()
    load_networks(model, directory.checkpoints / str(step))
    return model


def _without_experience(spec: RunSpec) -> RunSpec:
    """Return a spec of the same networks with the least of buffers, for one environment."""
    given = spec.hyperparameters
    if spec.schema.has_replay_buffer:
        small = {"buffer_size": 1}
    else:  # A rollout keeps its samples: fewer than a batch would be warned of.
        small = {"n_steps": given["n_steps"] * spec.n_envs}
    return replace(spec, n_envs=1, hyperparameters={**given, **small})


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
        raise InvalidSpec([FieldError(
            "hyperparameters.her",
            f"true is not allowed in {spec.environment}: it has no compute_reward(achieved_goal, "
            "desired_goal, info), which says what another goal would have paid; set it to false",
        )])  # fmt: skip


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
    """Return the name of the policy that reads an observation space.

    Raises:
        InvalidSpec: The algorithm has no policy for such observations.
    """
    kind = observation_kind(observation_space)
    if kind not in algorithm.observations:
        others = BACKENDS[algorithm.backend].algorithms.values()
        able = ", ".join(other.name for other in others if kind in other.observations)
        raise InvalidSpec([FieldError(
            "algorithm",
            f"{algorithm.full_title} reads {' or '.join(sorted(algorithm.observations))} "
            f"observations and this environment's are {kind}; algorithms that can: {able}",
        )])  # fmt: skip
    if hyperparameters.get("policy") == "linear":
        return "LinearPolicy"
    stem = {"dict": "MultiInput", "image": "Cnn", "vector": "Mlp"}[kind]
    return f"{stem}LstmPolicy" if algorithm.is_recurrent else f"{stem}Policy"


def leave_compiler_out() -> None:
    """Keep torch from importing its compiler, which nothing here uses.

    The first optimizer of a process imports it only to say that it is not to be compiled: 0.7 s of
    CPU time and 60 MB. The mark set here is the one that torch sets after that import.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict", "zero_grad"):
        method = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if method is not None:
            setattr(method, "__dynamo_disable", method)


def threads_for(spec: RunSpec, is_image: bool, share: int | None = None) -> int:
    """Return how many threads a run computes in.

    One for small networks: two such runs side by side on two cores make 14,000 steps/s together
    with one thread each, and about 100 with torch's default. Convolutions gain from more, and so
    do updates from experience with wide layers and large batches.

    Args:
        spec: The run's spec.
        is_image: Whether its networks read pictures.
        share: The most that it may take; None: all there are.
    """
    most = min(share or DEFAULT_THREADS, DEFAULT_THREADS)
    return most if is_image else max(1, min(most, _work_of(spec) // WORK_OF_A_THREAD))


def _work_of(spec: RunSpec) -> int:
    """Return a minibatch's multiplications between the widest hidden layers; 0 without replay."""
    if not spec.schema.has_replay_buffer:
        return 0
    given = spec.hyperparameters
    networks = (
        given["net_arch"] or spec.schema.hyperparameters["net_arch"].unset,
        given.get("critic_net_arch") or (),
    )
    layers = [before * after for widths in networks for before, after in pairwise(widths)]
    return int(given["batch_size"] * max(layers, default=0))


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
