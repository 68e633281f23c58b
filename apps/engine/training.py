"""Train one spec in this process and write its run directory.

The run directory's lock is held from the first line to the last. The log's `status` line at the
end says how it ended, also when an exception leaves.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import torch
from gymnasium import spaces
from stable_baselines3 import DQN, PPO
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import VecEnv

from apps.engine import events, provenance
from apps.engine.algorithms import ALGORITHMS, SCHEDULE_PREFIX
from apps.engine.callbacks import EventLog, StopTraining, TrainingCallback, scalar_logger
from apps.engine.control import Control
from apps.engine.environments import make_env
from apps.engine.errors import EngineError
from apps.engine.rundir import LogWriter, RunDirectory, write_json
from apps.engine.spec import RunSpec

ALGORITHM_CLASSES: dict[str, type[BaseAlgorithm]] = {"ppo": PPO, "dqn": DQN}
ACTIVATIONS: dict[str, type[torch.nn.Module]] = {
    "tanh": torch.nn.Tanh,
    "relu": torch.nn.ReLU,
    "elu": torch.nn.ELU,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
}

logger = logging.getLogger(__name__)


class NoEpisode(EngineError):
    """Training went through all its steps and not one episode ended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended.

    Attributes:
        status: `completed`, or what a requested stop ends in.
        step: Environment steps done.
        episodes: Episodes that ended.
        reason: Why it was stopped, empty when completed.
    """

    status: Literal["completed", "stopped", "lost"]
    step: int
    episodes: int
    reason: str = ""


def train(
    spec: RunSpec,
    directory: RunDirectory,
    control: Control | None = None,
    keep_checkpoints: int = 3,
    command: str = "",
) -> Outcome:
    """Train a spec from its first step to its last, or to a requested stop.

    Args:
        spec: A validated spec.
        directory: A created run directory (`RunDirectory.create`).
        control: Where a stop may be asked for; obeyed between two rollouts.
        keep_checkpoints: How many of the latest checkpoints to keep.
        command: What the user typed, for the provenance.

    Raises:
        RunDirectoryBusy: Somebody trains in this directory.
        UnknownEnvironment: The environment cannot be made.
        InvalidSpec: The algorithm cannot act in the environment.
        NoEpisode: No episode ended in all the steps.
        DiskFull: The log or a checkpoint could not be written.
    """
    control = control or Control()
    with directory.locked(), LogWriter(directory.log) as writer:
        log = EventLog(writer)
        with _status_lines(log) as progress:
            env = _make_vec_env(spec)
            try:
                model = build_model(spec, env)
                _write_provenance(spec, directory, model, command)
                callback = TrainingCallback(spec, directory, log, control, keep_checkpoints)
                outcome = _learn(spec, model, callback, log, control)
            finally:
                env.close()
            progress.append(outcome)
    return outcome


def _learn(
    spec: RunSpec,
    model: BaseAlgorithm,
    callback: TrainingCallback,
    log: EventLog,
    control: Control,
) -> Outcome:
    model.set_logger(scalar_logger(log))
    try:
        model.learn(spec.total_timesteps, callback=callback)
    except StopTraining:
        callback.save(should_evaluate=False)
        callback.report(f"stopped: {control.reason}")
        return Outcome(control.ends_as, model.num_timesteps, callback.episodes, control.reason)
    callback.save(should_evaluate=True)
    callback.report("completed")
    if callback.episodes == 0:
        raise NoEpisode(
            f"no episode ended in {model.num_timesteps} steps, so there is nothing to judge the "
            "run by; raise total_timesteps or give the environment a step limit"
        )
    return Outcome("completed", model.num_timesteps, callback.episodes)


@contextmanager
def _status_lines(log: EventLog) -> Iterator[list[Outcome]]:
    """Write the status lines around a training; the block appends its outcome, or raises."""
    outcomes: list[Outcome] = []
    log.add(events.status(0, "running"))
    log.flush()
    try:
        yield outcomes
    except EngineError as error:
        log.add(events.status(0, "failed", str(error)))
        raise
    except BaseException as error:
        log.add(events.status(0, "failed", f"{type(error).__name__}: {error}"))
        raise
    else:
        for outcome in outcomes:
            log.add(events.status(outcome.step, outcome.status, outcome.reason))
    finally:
        log.flush()


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


def _make_vec_env(spec: RunSpec) -> VecEnv:
    def make() -> gymnasium.Env[Any, Any]:
        return make_env(spec.environment, spec.environment_kwargs)

    return make_vec_env(make, n_envs=spec.n_envs, seed=spec.seed)


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


def _write_provenance(
    spec: RunSpec, directory: RunDirectory, model: BaseAlgorithm, command: str
) -> None:
    write_json(
        directory.provenance,
        {
            "command": command,
            **provenance.code_state(),
            **provenance.host(),
            "packages": provenance.package_versions(),
            "algorithm_class": ALGORITHMS[spec.algorithm].class_path,
            "device": str(model.device),
            "device_name": (
                torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "CPU"
            ),
            "torch_threads": torch.get_num_threads(),
            "started_at": provenance.now(),
        },
    )
