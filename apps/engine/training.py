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
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from apps.engine import events, provenance
from apps.engine.algorithms import ALGORITHMS
from apps.engine.building import build_model
from apps.engine.callbacks import EventLog, StopTraining, TrainingCallback, scalar_logger
from apps.engine.control import Control
from apps.engine.environments import make_env
from apps.engine.errors import EngineError
from apps.engine.rundir import LogWriter, RunDirectory, write_json
from apps.engine.spec import RunSpec

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


def _make_vec_env(spec: RunSpec) -> VecEnv:
    def make() -> gymnasium.Env[Any, Any]:
        return make_env(spec.environment, spec.environment_kwargs)

    return make_vec_env(make, n_envs=spec.n_envs, seed=spec.seed)


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
