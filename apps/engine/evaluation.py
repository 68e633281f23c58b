"""Evaluate one checkpoint: N episodes on recorded seeds, and a film of the same episodes.

The result is written before the film is tried, so a film that fails never costs an evaluation.
Result files appear whole and last: a film that a result names exists.
"""

import inspect
import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, Self

import gymnasium
import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm

from apps.engine import checkpoints, events
from apps.engine.building import load_model, make_env_for
from apps.engine.errors import EngineError, FilmFailed
from apps.engine.networks import seed_draws
from apps.engine.rundir import RunDirectory, write_json
from apps.engine.spec import EvalSpec, RunSpec
from apps.engine.vec_normalize import FrozenStatistics
from apps.engine.video import Film, FilmInfo

OnStep = Callable[[int, float], None]

logger = logging.getLogger(__name__)


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
        return cls(model, checkpoints.load_statistics(directory, step))

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
        film: The film of them, None without one.
        film_error: Why there is no film although one was asked for.
    """

    step: int
    spec: EvalSpec
    episodes: list[Episode]
    film: FilmInfo | None = None
    film_error: str = ""

    def summary(self) -> dict[str, Any]:
        """Return the numbers of the episodes together; `return_std` is the population's."""
        returns = np.array([episode.episode_return for episode in self.episodes])
        lengths = np.array([episode.length for episode in self.episodes])
        return {
            "n_episodes": len(self.episodes),
            "return_mean": float(returns.mean()),
            "return_std": float(returns.std()),
            "return_min": float(returns.min()),
            "return_max": float(returns.max()),
            "length_mean": float(lengths.mean()),
            "n_terminated": sum(episode.is_terminated for episode in self.episodes),
            "n_truncated": sum(episode.is_truncated for episode in self.episodes),
            "n_capped": sum(episode.is_capped for episode in self.episodes),
        }

    def as_dict(self, name: str) -> dict[str, Any]:
        """Return the content of the result file `eval/<name>.json`."""
        return {
            "name": name,
            "step": self.step,
            "spec": self.spec.as_dict(),
            **self.summary(),
            "episodes": [asdict(episode) for episode in self.episodes],
            "film": asdict(self.film) if self.film else None,
            "film_error": self.film_error,
        }


def evaluate(
    directory: RunDirectory,
    run: RunSpec,
    step: int,
    spec: EvalSpec,
    name: str,
    manifest_sha256: str | None = None,
) -> EvalResult:
    """Play a checkpoint, write `eval/<name>.json`, then film the same episodes.

    Args:
        directory: The run's directory.
        run: The run's spec.
        step: Step of the checkpoint.
        spec: How many episodes, on which seeds.
        name: File name without suffix.
        manifest_sha256: Hash of the checkpoint's manifest as the record remembers it; empty:
            nobody does.

    Raises:
        DamagedCheckpoint: The checkpoint's files do not match its manifest, or the manifest is not
            the one that is remembered.
        UnknownEnvironment: The environment cannot be made.
    """
    torch.set_num_threads(1)
    player = Player.of_checkpoint(run, directory, step, manifest_sha256)
    directory.evaluations.mkdir(exist_ok=True)
    with make_env_for(run) as env:
        played = [play(player, env, spec, spec.seed + index) for index in range(spec.n_episodes)]
    result = EvalResult(step, spec, played)
    logger.info("evaluated step %s: mean return %.1f", step, result.summary()["return_mean"])
    path = directory.evaluations / f"{name}.json"
    write_json(path, result.as_dict(name))
    if spec.should_film:
        result = _film(directory, run, player, result, name)
        write_json(path, result.as_dict(name))
    directory.append(events.evaluation(step, {"name": name, **result.summary()}))
    if result.film:
        directory.append(events.film(step, result.film.path))
    return result


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


def _film(
    directory: RunDirectory, run: RunSpec, player: Player, result: EvalResult, name: str
) -> EvalResult:
    try:
        film = _film_episodes(directory, run, player, result, name)
    except (EngineError, OSError, gymnasium.error.Error) as error:
        logger.warning("no film: %s", error)
        return EvalResult(result.step, result.spec, result.episodes, film_error=str(error))
    return EvalResult(result.step, result.spec, result.episodes, film)


def _film_episodes(
    directory: RunDirectory, run: RunSpec, player: Player, result: EvalResult, name: str
) -> FilmInfo:
    with make_env_for(run, render_mode="rgb_array") as env:
        if env.render_mode != "rgb_array":
            raise FilmFailed(f"{run.environment} cannot be rendered as pixels (rgb_array)")
        fps = float(env.metadata.get("render_fps") or 30)
        with Film(directory.evaluations / f"{name}.mp4", fps) as film:
            for index, episode in enumerate(result.episodes):
                title = f"{run.environment}  episode {index + 1}/{len(result.episodes)}"

                def on_step(step: int, episode_return: float, title: str = title) -> None:
                    film.add(env.render(), f"{title}  step {step}  return {episode_return:.1f}")

                again = play(player, env, result.spec, episode.seed, on_step)
                if again.length != episode.length:
                    logger.warning("the filmed episode of seed %s differs", episode.seed)
    return film.info
