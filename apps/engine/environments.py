"""The registry of environments: what is known of each, how one is made and described.

The cards of known environments are plain data, so that a page can list them at no cost. Anything
that constructs an environment (`make_env`, `describe`) may run foreign code and belongs in a
trainer process, never in a web server.
"""

import difflib
import re
from dataclasses import asdict, dataclass
from typing import Any

import gymnasium
from gymnasium import spaces
from gymnasium.wrappers import FlattenObservation

from apps.engine.algorithms import SpaceKind
from apps.engine.errors import UnknownEnvironment

ENVIRONMENT_ID = re.compile(r"([\w.]+:)?([\w-]+/)?[\w.-]+")  # To be matched in full.


@dataclass(frozen=True, slots=True)
class Family:
    """A group of environments that one package brings.

    Attributes:
        title: The name people read.
        install: What to type when the package is missing.
    """

    title: str
    install: str


FAMILIES: dict[str, Family] = {
    "classic_control": Family("Classic control", "pip install 'gymnasium[classic-control]'"),
}


@dataclass(frozen=True, slots=True)
class EnvironmentCard:
    """What a page says of a known environment without constructing it.

    Attributes:
        id: Gymnasium's id.
        family: Key of `FAMILIES`.
        meaning: One line for people: the task.
        action_space: Kind of its action space.
        observation: Its observation in words, with units.
        reward: Its reward in words.
        max_episode_steps: Steps after which an episode is truncated.
        solved_return: Mean return that counts as solved, None where nobody says one.
    """

    id: str
    family: str
    meaning: str
    action_space: SpaceKind
    observation: str
    reward: str
    max_episode_steps: int
    solved_return: float | None


ENVIRONMENTS: dict[str, EnvironmentCard] = {
    card.id: card
    for card in (
        EnvironmentCard(
            "CartPole-v1", "classic_control", "Balance a pole on a cart by pushing left or right.",
            "discrete",
            "cart position (m), cart velocity, pole angle (rad), pole angular velocity",
            "+1 for every step the pole stays up", 500, 475.0,
        ),
        EnvironmentCard(
            "Acrobot-v1", "classic_control", "Swing the tip of a two-link arm above a line.",
            "discrete", "sine and cosine of both joint angles, both angular velocities (rad/s)",
            "-1 for every step until the tip is above the line", 500, -100.0,
        ),
        EnvironmentCard(
            "MountainCar-v0", "classic_control",
            "Drive an underpowered car up a hill by building momentum.",
            "discrete", "car position, car velocity",
            "-1 for every step until the flag is reached", 200, -110.0,
        ),
        EnvironmentCard(
            "MountainCarContinuous-v0", "classic_control",
            "The same hill, with a continuous throttle that costs.",
            "box", "car position, car velocity",
            "+100 at the flag, -0.1 times the squared throttle at every step", 999, 90.0,
        ),
        EnvironmentCard(
            "Pendulum-v1", "classic_control", "Swing a pendulum up and hold it there.",
            "box", "cosine and sine of the angle, angular velocity (rad/s)",
            "from -16.3 (hanging, fast) to 0 (upright, still, no torque) at every step", 200, None,
        ),
    )
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class SpaceDescription:
    """A Gymnasium space as plain data.

    Attributes:
        kind: Kind of space.
        shape: Shape of one element; empty for a single integer.
        dtype: NumPy type name of one element.
        n: Number of actions of a discrete space, None for other kinds.
        low: Least bound over all elements of a box, None for other kinds or when unbounded.
        high: Greatest bound over all elements of a box, likewise.
    """

    kind: SpaceKind
    shape: tuple[int, ...]
    dtype: str
    n: int | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class EnvironmentDescription:
    """What a constructed environment says of itself.

    Attributes:
        id: Gymnasium's id.
        observation_space: Its observation space.
        action_space: Its action space.
        max_episode_steps: Steps after which an episode is truncated, None when never.
        reward_threshold: Mean return that counts as solved, None where nobody says one.
        render_modes: Modes it can be rendered in; films need `rgb_array`.
        render_fps: Frames a second at which it looks natural.
    """

    id: str
    observation_space: SpaceDescription
    action_space: SpaceDescription
    max_episode_steps: int | None
    reward_threshold: float | None
    render_modes: tuple[str, ...]
    render_fps: int

    def as_dict(self) -> dict[str, Any]:
        """Return the description as JSON-ready data."""
        return asdict(self)


def space_kind(space: spaces.Space[Any]) -> SpaceKind:
    """Return the kind of a Gymnasium space."""
    kinds: dict[type, SpaceKind] = {
        spaces.Discrete: "discrete",
        spaces.Box: "box",
        spaces.MultiDiscrete: "multi_discrete",
        spaces.MultiBinary: "multi_binary",
    }
    return next((kind for known, kind in kinds.items() if isinstance(space, known)), "other")


def known_ids() -> list[str]:
    """Return every id that Gymnasium has registered in this process, sorted."""
    return sorted(gymnasium.registry)


def unknown_message(environment: str) -> str:
    """Say that an id is unknown and which ones come close."""
    close = difflib.get_close_matches(environment, known_ids(), n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(close)}?" if close else f"try {', '.join(ENVIRONMENTS)}"
    return f"{environment!r} is not a registered environment; {hint}"


def make_env(
    environment: str, kwargs: dict[str, Any] | None = None, render_mode: str | None = None
) -> gymnasium.Env[Any, Any]:
    """Construct an environment by id (`CartPole-v1`, or `module:Env-v0` for one of your own).

    Args:
        environment: Gymnasium's id.
        kwargs: Keyword arguments for its constructor.
        render_mode: `rgb_array` where frames are wanted.

    Raises:
        UnknownEnvironment: There is no such id, its package is missing, or it refuses the kwargs.
    """
    extra: dict[str, Any] = {"render_mode": render_mode} if render_mode else {}
    try:
        env = gymnasium.make(environment, **(kwargs or {}), **extra)
    except (gymnasium.error.DependencyNotInstalled, ImportError) as error:
        raise UnknownEnvironment(
            f"{environment} needs a package that is not installed: {error}"
        ) from error
    except (gymnasium.error.UnregisteredEnv, gymnasium.error.DeprecatedEnv) as error:
        raise UnknownEnvironment(f"{unknown_message(environment)} ({error})") from error
    except (gymnasium.error.Error, TypeError, ValueError, LookupError, AssertionError) as error:
        raise UnknownEnvironment(f"{environment} could not be made: {error!r}") from error
    # Policies read vectors, images and dictionaries, so a tuple (Blackjack's) becomes a vector.
    return FlattenObservation(env) if isinstance(env.observation_space, spaces.Tuple) else env


def describe(environment: str, kwargs: dict[str, Any] | None = None) -> EnvironmentDescription:
    """Construct an environment, read its spaces and metadata, and close it again.

    Raises:
        UnknownEnvironment: As for `make_env`, and for an id without its version.
    """
    env = make_env(environment, kwargs)
    try:
        spec = env.spec
        if spec and spec.id != environment.rpartition(":")[2]:
            # Gymnasium takes the newest version then: an upgrade would change what a spec means.
            raise UnknownEnvironment(f"{environment!r} names no version; write {spec.id}")
        return EnvironmentDescription(
            id=environment,
            observation_space=_describe_space(env.observation_space),
            action_space=_describe_space(env.action_space),
            max_episode_steps=spec.max_episode_steps if spec else None,
            reward_threshold=spec.reward_threshold if spec else None,
            render_modes=tuple(mode for mode in env.metadata.get("render_modes", ()) if mode),
            render_fps=int(env.metadata.get("render_fps") or 30),
        )
    finally:
        env.close()


def _describe_space(space: spaces.Space[Any]) -> SpaceDescription:
    box = space if isinstance(space, spaces.Box) else None
    return SpaceDescription(
        kind=space_kind(space),
        shape=tuple(space.shape or ()),
        dtype=str(space.dtype),
        n=int(space.n) if isinstance(space, spaces.Discrete) else None,
        low=float(box.low.min()) if box and box.is_bounded("below") else None,
        high=float(box.high.max()) if box and box.is_bounded("above") else None,
    )
