"""Evaluate one checkpoint: N episodes on recorded seeds.

An evaluation ends: each episode at its step limit, all of them when their time is up, and then the
episodes that have ended count. `scenes` shows the same episodes later, in a job of its own.
"""

import inspect
import logging
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from apps import words
from apps.engine.checkpoints import loading
from apps.engine.checkpoints.loading import load_model
from apps.engine.control import Control
from apps.engine.models.networks import seed_draws
from apps.engine.stepping.making import make_env_for
from apps.engine.stepping.normalized import FrozenStatistics
from apps.errors import EngineError
from apps.rundir import events
from apps.rundir.directory import RunDirectory
from apps.rundir.files import write_json
from apps.spec.evaluation import EvalSpec
from apps.spec.run import RunSpec

OnStep = Callable[[int, float], None]

logger = logging.getLogger(__name__)


class Interrupted(EngineError):
    """Whoever asked for it wants it to end."""


class TimeIsUp(EngineError):
    """It took longer than it may."""


class Deadline:
    """When a play must end: after so many seconds, or as soon as its process is asked to."""

    def __init__(self, limit_s: float = math.inf, control: Control | None = None) -> None:
        self.limit_s = limit_s
        self._ends_at = time.monotonic() + limit_s
        self._control = control

    def check(self) -> None:
        """Go on, if it may; called at each step.

        Raises:
            Interrupted: Its process was asked to end.
            TimeIsUp: The seconds have passed.
        """
        if self._control is not None and self._control.is_stop_requested:
            raise Interrupted("it was asked to end")
        if time.monotonic() > self._ends_at:
            raise TimeIsUp(f"it was ended after {self.limit_s:,.0f} s")


@dataclass(frozen=True, slots=True)
class Player:
    """A policy and how it sees: what plays an episode.

    Attributes:
        model: The policy.
        statistics: What its observations are normalised with, None where they are not.
    """

    model: BaseAlgorithm
    statistics: FrozenStatistics | None = None

    @classmethod
    def of_checkpoint(
        cls, run: RunSpec, directory: RunDirectory, step: int, manifest_sha256: str | None = None
    ) -> Self:
        """Load a checkpoint of a run to play on the CPU.

        Args:
            run: The run's spec.
            directory: The run's directory.
            step: Step of the checkpoint.
            manifest_sha256: As for `evaluate`.

        Raises:
            DamagedCheckpoint: As for `evaluate`.
        """
        model = load_model(run, directory, step, manifest_sha256)
        return cls(model, loading.load_statistics(directory, step))

    def seen(self, observation: Any) -> Any:
        """Return an observation as the policy is used to see it."""
        return self.statistics.normalize(observation) if self.statistics else observation


@dataclass(frozen=True, slots=True)
class Episode:
    """One played episode.

    Attributes:
        seed: Seed of its reset.
        episode_return: Sum of its rewards.
        length: Its steps.
        is_terminated: Whether the environment ended it.
        is_truncated: Whether the environment's step limit ended it.
        is_capped: Whether the evaluation's own step limit ended it.
        elapsed_ms: Wall time, environment and policy.
    """

    seed: int
    episode_return: float
    length: int
    is_terminated: bool
    is_truncated: bool
    is_capped: bool
    elapsed_ms: float


@dataclass(frozen=True, slots=True)
class EvalResult:
    """The episodes of one evaluation.

    Attributes:
        step: Step of the checkpoint that played.
        spec: How it was evaluated.
        episodes: Episodes in order of their seeds.
        interrupted: Why there are fewer of them than were asked for, empty when there are not.
    """

    step: int
    spec: EvalSpec
    episodes: list[Episode]
    interrupted: str = ""

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the episodes together; `return_std` is the population's."""
        returns = np.array([episode.episode_return for episode in self.episodes])
        lengths = np.array([episode.length for episode in self.episodes])
        mean, std = _mean_and_std(returns)
        return {
            "n_episodes": len(self.episodes),
            "return_mean": mean,
            "return_std": std,
            "return_min": float(returns.min()),
            "return_max": float(returns.max()),
            "length_mean": float(lengths.mean()),
            "n_terminated": sum(episode.is_terminated for episode in self.episodes),
            "n_truncated": sum(episode.is_truncated for episode in self.episodes),
            "n_capped": sum(episode.is_capped for episode in self.episodes),
        }

    def as_dict(self, name: str) -> dict[str, Any]:
        """Return the content of the result file `eval/<name>.json`.

        Numbers that are not finite are null, and named in `special`, as in the log.
        """
        finite, special = events.flag_special(self.summary())
        return {
            "name": name,
            "step": self.step,
            "spec": self.spec.as_dict(),
            **finite,
            **special,
            "interrupted": self.interrupted,
            "episodes": [_as_json(asdict(episode)) for episode in self.episodes],
            "film": None,
            "film_error": "",
        }


def _as_json(values: dict[str, Any]) -> dict[str, Any]:
    finite, special = events.flag_special(values)
    return {**finite, **special}


def _mean_and_std(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return mean and deviation; of finite numbers finite ones, however great they are."""
    with np.errstate(over="ignore", invalid="ignore"):
        mean, std = float(values.mean()), float(values.std())
        if np.isfinite(values).all() and not (math.isfinite(mean) and math.isfinite(std)):
            scale = float(np.abs(values).max())
            mean = float((values / scale).mean()) * scale
            std = float((values / scale).std()) * scale
    return mean, std


def evaluate(
    directory: RunDirectory,
    run: RunSpec,
    step: int,
    spec: EvalSpec,
    name: str,
    manifest_sha256: str | None = None,
    deadline: Deadline | None = None,
) -> EvalResult:
    """Play a checkpoint, write `eval/<name>.json` and say so in the log.

    Args:
        directory: The run's directory.
        run: The run's spec.
        step: Step of the checkpoint.
        spec: How many episodes, on which seeds.
        name: File name without suffix.
        manifest_sha256: Hash of the checkpoint's manifest as the record remembers it; empty:
            nobody does.
        deadline: When it must end; None sets no limit.

    Raises:
        DamagedCheckpoint: The checkpoint's files do not match its manifest, or the manifest is not
            the one that is remembered.
        UnknownEnvironment: The environment cannot be made.
        TimeIsUp: No episode had ended when its time was up.
        Interrupted: Its process was asked to end.
    """
    torch.set_num_threads(1)
    player = Player.of_checkpoint(run, directory, step, manifest_sha256)
    directory.evaluations.mkdir(exist_ok=True)
    result = _play_all(run, player, step, spec, deadline or Deadline())
    told = words.number(result.summary()["return_mean"])
    logger.info("evaluated step %s: mean return %s %s", step, told, result.interrupted)
    write_json(directory.evaluations / f"{name}.json", result.as_dict(name))
    said = {"interrupted": result.interrupted} if result.interrupted else {}
    directory.append(events.evaluation(step, {"name": name, **result.summary(), **said}))
    return result


def _play_all(
    run: RunSpec, player: Player, step: int, spec: EvalSpec, deadline: Deadline
) -> EvalResult:
    played: list[Episode] = []
    steps = 0

    def on_step(length: int, episode_return: float) -> None:
        nonlocal steps
        steps = length
        deadline.check()

    with make_env_for(run) as env:
        try:
            for index in range(spec.n_episodes):
                played.append(play(player, env, spec, spec.seed + index, on_step))
        except TimeIsUp as error:
            if not played:
                raise TimeIsUp(
                    f"{error} (RLGYM_EVALUATION_LIMIT_S), before its first episode did: that had "
                    f"{steps:,} steps. Ask for fewer steps an episode, or raise the limit"
                ) from error
            interrupted = f"{error}, with {len(played)} of {spec.n_episodes} episodes"
            return EvalResult(step, spec, played, interrupted)
    return EvalResult(step, spec, played)


def play(
    player: Player,
    env: gymnasium.Env[Any, Any],
    spec: EvalSpec,
    seed: int,
    on_step: OnStep | None = None,
) -> Episode:
    """Play one episode from a seeded reset to its end.

    The state of a recurrent policy is carried along, and valid actions are asked for where the
    policy wants to know them. Rewards are those of the environment, normalised or not in training.

    Args:
        player: Who plays; a stochastic policy draws from streams seeded with `seed`.
        env: The environment, not vectorised.
        spec: Whether to act deterministically, and the step limit.
        seed: Seed of the reset, at most 2^32 - 1.
        on_step: Called after the reset and after each step with the step and the return so far.
    """
    seed_draws(player.model, seed)
    observation, _ = env.reset(seed=seed)
    started_at = time.perf_counter()
    episode_return, length = 0.0, 0
    is_terminated = is_truncated = False
    has_masks = "action_masks" in inspect.signature(player.model.predict).parameters
    state: tuple[NDArray[Any], ...] | None = None  # Of a recurrent policy; zeros at the reset.
    if on_step:
        on_step(0, 0.0)
    while not (is_terminated or is_truncated or length >= spec.max_episode_steps):
        masks = {"action_masks": env.get_wrapper_attr("action_masks")()} if has_masks else {}
        action, state = player.model.predict(
            player.seen(observation),
            state=state,
            episode_start=np.array([length == 0]),
            deterministic=spec.is_deterministic,
            **masks,
        )
        observation, reward, is_terminated, is_truncated, _ = env.step(_as_action(action))
        episode_return += float(reward)
        length += 1
        if on_step:
            on_step(length, episode_return)
    return Episode(
        seed=seed,
        episode_return=episode_return,
        length=length,
        is_terminated=bool(is_terminated),
        is_truncated=bool(is_truncated),
        is_capped=not (is_terminated or is_truncated),
        elapsed_ms=(time.perf_counter() - started_at) * 1000,
    )


def _as_action(action: NDArray[Any]) -> Any:
    # Toy-text environments look actions up in a dictionary: an array of no dimensions is no key.
    return action.item() if action.ndim == 0 else action
