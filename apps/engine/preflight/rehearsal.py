"""Rehearse a training for a moment: how fast it goes, and what it takes of memory.

The real spec with the real model, but with short rollouts and a small buffer, so that a few cycles
of acting and learning fit into seconds. Nothing of it is kept.
"""

import math
import os
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger

from apps.catalogue.environments.descriptions import EnvironmentDescription
from apps.engine.models.building import build_model
from apps.engine.models.networks import OwnNetworks, file_of, save_networks
from apps.engine.stepping.choosing import vectorized
from apps.machine import host
from apps.protocol.preflight import Memory, Probe
from apps.spec.memory import spec_buffer_bytes
from apps.spec.run import RunSpec

REHEARSAL_S = 2.5
MOST_REHEARSAL_S = 10.0  # Where no cycle ends within that.
ROLLOUT_S = 0.4
CONSTRUCTION_S = 3.0
MAX_CYCLE_STEPS = 64
BUFFER_ROWS = 5000


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a rehearsal measured.

    Attributes:
        steps_per_s: Training steps a second.
        n_envs: Parallel environments it was measured with.
        memory: What the whole training takes.
    """

    steps_per_s: float
    n_envs: int
    memory: Memory


class _Enough(Exception):
    """Raised inside of `learn()` when the time of a rehearsal is over."""


class _Watch(BaseCallback):
    """Notes when each cycle of acting and learning begins, and ends the rehearsal in time."""

    def __init__(self, learning_starts: int) -> None:
        super().__init__()
        self._learning_starts = learning_starts
        self._started = time.perf_counter()
        self._learning: list[tuple[int, float]] = []

    def _on_training_start(self) -> None:
        self._started = time.perf_counter()

    def _on_rollout_start(self) -> None:
        now = time.perf_counter()
        if self.num_timesteps > self._learning_starts:
            self._learning.append((self.num_timesteps, now))
        # The first cycle that learns allocates what the others use: it is not measured.
        if len(self._learning) > 2 and now - self._learning[1][1] > REHEARSAL_S:
            raise _Enough

    def _on_step(self) -> bool:
        if time.perf_counter() - self._started > MOST_REHEARSAL_S:
            raise _Enough
        return True

    def steps_per_s(self) -> float:
        """Return the speed over whole cycles that learn; over everything where there are none."""
        measured = self._learning[1:] if len(self._learning) > 2 else self._learning
        if len(measured) < 2:
            return max(self.num_timesteps, 1) / max(time.perf_counter() - self._started, 1e-9)
        (first, started), (last, ended) = measured[0], measured[-1]
        return (last - first) / max(ended - started, 1e-9)


def rehearse(
    spec: RunSpec, description: EnvironmentDescription, probed: Probe, share: int | None = None
) -> Rehearsal:
    """Train for some seconds.

    Args:
        spec: The run's spec.
        description: What its environment says of itself.
        probed: What random actions in it showed.
        share: The most threads that it may compute in; None: all there are.

    Raises:
        InvalidSpec: The algorithm cannot act in the environment.
        EngineError: The device is not there.
    """
    before_s, before_bytes = time.perf_counter(), _own_bytes()
    vectorized(replace(spec, n_envs=1))[0].close()
    construction_s = max(time.perf_counter() - before_s, 1e-6)
    one_bytes = max(_own_bytes() - before_bytes, 1)
    most = min(int(CONSTRUCTION_S / construction_s), free_memory()[0] // 4 // one_bytes)
    n_envs = max(1, min(spec.n_envs, most))
    short = shortened(replace(spec, n_envs=n_envs), probed)
    env, _ = vectorized(short)
    try:
        grown_bytes = max(_own_bytes() - before_bytes, 0)
        model = build_model(short, env, share=share)
        watch = _learn(model, short)
        free_bytes, total_bytes = free_memory()
        networks_bytes = _networks_bytes(model)
        counted_bytes = grown_bytes + networks_bytes
        counted_bytes += spec_buffer_bytes(short, description, model.num_timesteps)
        return Rehearsal(
            watch.steps_per_s(),
            n_envs,
            Memory(
                process_bytes=max(_own_bytes() - counted_bytes, 0),
                environments_bytes=grown_bytes * spec.n_envs // n_envs,
                networks_bytes=networks_bytes,
                buffer_bytes=spec_buffer_bytes(spec, description, spec.total_timesteps),
                allocated_bytes=spec_buffer_bytes(spec, description),
                free_bytes=free_bytes,
                total_bytes=total_bytes,
            ),
        )
    finally:
        env.close()


def _own_bytes() -> int:
    return host.resident_bytes(os.getpid())


def free_memory() -> tuple[int, int]:
    """Return the free and the total bytes of memory.

    What this process takes counts as free: it ends before a training begins.
    """
    free_bytes, total_bytes = host.memory_bytes()
    return free_bytes + _own_bytes(), total_bytes


def shortened(spec: RunSpec, probed: Probe) -> RunSpec:
    """Return a spec whose cycles of acting and learning are short, with the same cost a step."""
    values = spec.hyperparameters
    if spec.schema.is_on_policy:
        values = values | _short_rollout(values, spec.n_envs, probed.steps_per_s * ROLLOUT_S)
    elif spec.schema.has_replay_buffer:
        # Hindsight learns from whole episodes only.
        needed = (probed.mean_length or math.inf) if values.get("her") else 1
        values = values | _early_start(values, 2 * spec.n_envs * needed) | _short_cycle(values)
    return replace(spec, hyperparameters=values)


def _short_rollout(values: Mapping[str, Any], n_envs: int, steps: float) -> dict[str, Any]:
    """Return a rollout of about so many steps in all, of whole batches."""
    batch = values.get("batch_size", n_envs)
    wanted = max(batch, min(steps, values["n_steps"] * n_envs))
    n_steps = math.ceil(batch * round(wanted / batch) / n_envs)
    return {"n_steps": min(max(n_steps, 2), values["n_steps"])}


def _early_start(values: Mapping[str, Any], steps: float) -> dict[str, Any]:
    """Return a small buffer, and learning that starts after so many steps at the latest."""
    starts = int(min(values["learning_starts"], steps))
    buffer_size = min(values["buffer_size"], max(BUFFER_ROWS, 2 * starts))
    return {"learning_starts": starts, "buffer_size": buffer_size}


def _short_cycle(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return fewer steps between updates, with as many gradient steps for each as before."""
    every = values["train_freq"] if isinstance(values["train_freq"], int) else math.inf
    if every <= MAX_CYCLE_STEPS:
        return {}
    gradient_steps = values["gradient_steps"]
    if gradient_steps > 0:  # Below, it is one for each step anyhow.
        gradient_steps = max(1, round(gradient_steps * (MAX_CYCLE_STEPS / every)))
    return {"train_freq": MAX_CYCLE_STEPS, "gradient_steps": gradient_steps}


def _learn(model: BaseAlgorithm, spec: RunSpec) -> _Watch:
    model.set_logger(Logger(folder=None, output_formats=[]))
    watch = _Watch(spec.hyperparameters.get("learning_starts", 0))
    with suppress(_Enough):
        model.learn(spec.total_timesteps, callback=watch)
    return watch


def _networks_bytes(model: BaseAlgorithm) -> int:
    """Return the bytes of weights, with their gradients and the two averages that Adam keeps."""
    if isinstance(model, OwnNetworks):
        with tempfile.TemporaryDirectory(prefix="rlgym-networks-") as folder:
            save_networks(model, Path(folder))
            return (Path(folder) / file_of(model)).stat().st_size
    return sum(
        each.numel() * each.element_size() * (4 if each.requires_grad else 1)
        for each in model.policy.parameters()
    )
