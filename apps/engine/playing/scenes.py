"""Film the episodes of an evaluation: played again on the same seeds, and drawn.

A job of its own, so that no figure waits for a picture. A film has an end: so many episodes, so
many seconds of film, so much time to make them; what is cut is said in its captions and beside it.
"""

import logging
from dataclasses import asdict, dataclass, replace
from typing import Any

import gymnasium
import torch

from apps import words
from apps.engine.playing.evaluation import Deadline, Player, TimeIsUp, play
from apps.engine.playing.video import Film, frame_rate
from apps.engine.stepping.making import make_env_for
from apps.errors import FilmFailed
from apps.rundir import events
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json, write_json
from apps.spec.evaluation import EvalSpec
from apps.spec.run import RunSpec

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FilmLimits:
    """How much of an evaluation is shown.

    Attributes:
        n_episodes: Its first ones.
        duration_s: Seconds of film, which they share.
    """

    n_episodes: int = 3
    duration_s: float = 120


@dataclass(frozen=True, slots=True)
class Scene:
    """One episode of a film.

    Attributes:
        number: Its number in the evaluation, from 1.
        of: How many the evaluation has.
        seed: Seed of its reset.
        length: Its steps in the evaluation.
        shown: How many of them are shown.
    """

    number: int
    of: int
    seed: int
    length: int
    shown: int

    @property
    def is_cut(self) -> bool:
        """Whether it goes on after the film has left it."""
        return self.shown < self.length

    def caption(self, environment: str, step: int, episode_return: float) -> str:
        """Say where in the episode a frame is."""
        end = f", cut at {self.shown:,} of {self.length:,}" if self.is_cut else ""
        told = words.number(episode_return)
        return f"episode {self.number}/{self.of}  step {step:,}{end}  return {told}  {environment}"


def scenes_of(episodes: list[dict[str, Any]], limits: FilmLimits, fps: float) -> list[Scene]:
    """Share the frames of a film among the episodes that it shows.

    Each has a reset and its steps; what a short one leaves the later ones have.
    """
    chosen = episodes[: limits.n_episodes]
    left = max(int(limits.duration_s * fps), len(chosen))
    scenes = []
    for index, episode in enumerate(chosen):
        share = left // (len(chosen) - index)
        shown = min(episode["length"], share - 1)
        left -= shown + 1
        scenes.append(Scene(index + 1, len(episodes), episode["seed"], episode["length"], shown))
    return scenes


def what_was_cut(scenes: list[Scene], told: str = "") -> str:
    """Say in words what a film leaves out, empty when it shows all there is."""
    words = []
    if scenes and len(scenes) < scenes[0].of:
        words.append(f"{len(scenes)} of {scenes[0].of} episodes")
    cut = [scene for scene in scenes if scene.is_cut]
    words += [f"episode {s.number} cut at step {s.shown:,} of {s.length:,}" for s in cut]
    return "; ".join([*words, *filter(None, [told])])


def film(
    directory: RunDirectory,
    run: RunSpec,
    name: str,
    limits: FilmLimits,
    manifest_sha256: str | None = None,
    deadline: Deadline | None = None,
) -> dict[str, Any]:
    """Film the evaluation `eval/<name>.json`, and name the film in it and in the log.

    Args:
        directory: The run's directory.
        run: The run's spec.
        name: The evaluation's file name without suffix.
        limits: How much of it is shown.
        manifest_sha256: As for `evaluate`.
        deadline: When it must end; what is drawn by then is the film.

    Returns:
        What the file says of its film.

    Raises:
        EngineError: It cannot be made.
    """
    torch.set_num_threads(1)
    path = directory.evaluations / f"{name}.json"
    result = read_json(path)
    player = Player.of_checkpoint(run, directory, result["step"], manifest_sha256)
    made = _draw(directory, run, player, result, limits, deadline or Deadline())
    write_json(path, {**read_json(path), "film": made, "film_error": ""})
    said = {"cut": made["cut"]} if made["cut"] else {}
    directory.append(events.film(result["step"], made["path"], **said))
    return made


def _draw(
    directory: RunDirectory,
    run: RunSpec,
    player: Player,
    result: dict[str, Any],
    limits: FilmLimits,
    deadline: Deadline,
) -> dict[str, Any]:
    spec = EvalSpec.from_dict(result["spec"])
    with make_env_for(run, render_mode="rgb_array") as env:
        if env.render_mode != "rgb_array":
            raise FilmFailed(f"{run.environment} cannot be rendered as pixels (rgb_array)")
        fps = frame_rate(env.metadata)
        scenes = scenes_of(result["episodes"], limits, fps)
        told, n_filmed = "", 0
        with Film(directory.evaluations / f"{result['name']}.mp4", fps) as picture:
            try:
                for scene in scenes:
                    n_filmed += 1
                    _show(scene, run.environment, player, env, spec, picture, deadline)
            except TimeIsUp as error:
                told = f"{error} of filming, in episode {n_filmed}"
    cut = what_was_cut(scenes[:n_filmed], told)
    return {**asdict(picture.info), "n_episodes": n_filmed, "cut": cut}


def _show(
    scene: Scene,
    environment: str,
    player: Player,
    env: gymnasium.Env[Any, Any],
    spec: EvalSpec,
    picture: Film,
    deadline: Deadline,
) -> None:
    def on_step(step: int, episode_return: float) -> None:
        picture.add(env.render(), scene.caption(environment, step, episode_return))
        deadline.check()

    again = play(player, env, replace(spec, max_episode_steps=scene.shown), scene.seed, on_step)
    if again.length != scene.shown:
        logger.warning("the filmed episode of seed %s differs", scene.seed)
