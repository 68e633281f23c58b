"""What an environment is doing, captured so that another process can go on with it.

Two ways, chosen once for each environment. A plain Python environment is pickled whole. One that
only pretends to pickle (Gymnasium's `EzPickle` keeps the constructor's arguments and loses the
state: Box2D, MuJoCo, Atari) or cannot is kept as a journal: the random state before its last reset
and every action since, which are played again. A replay is checked against the last observation.

Atari's emulator goes on from game to game, with a random stream of its own (sticky actions), so
its state at that reset is part of the journal. The state of a later moment would not do: it lacks
the action that the next frame may repeat, which only a reset clears.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium.utils import EzPickle
from numpy.typing import NDArray

from apps.engine.environments.pickles import CannotPickle, CannotRestore, pickled

Method = Literal["pickle", "replay"]

# Beyond this an episode is too long to be played again; the environment then starts anew.
MAX_JOURNAL_STEPS = 1_000_000


@dataclass(frozen=True, slots=True)
class EpisodeSoFar:
    """A journal: how to bring an environment to where it was.

    Attributes:
        seed: Seed that the last reset was given, None for most.
        options: Options that the last reset was given.
        rng_state: State of the environment's generator before that reset.
        emulator: State of Atari's emulator before that reset, None elsewhere.
        actions: Actions since, in order, along the first axis.
        observation: What the last of them showed.
    """

    seed: int | None
    options: dict[str, Any] | None
    rng_state: Mapping[str, Any]
    emulator: Any
    actions: NDArray[Any]
    observation: Any


class Journal(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Remembers the episode so far, so that it can be played again elsewhere.

    Attributes:
        why: What was raised when the environment was pickled, empty where nobody tried.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], why: str = "") -> None:
        super().__init__(env)
        self.why = why
        self._has_begun = False
        self._seed: int | None = None
        self._options: dict[str, Any] | None = None
        self._rng_state: Mapping[str, Any] = {}
        self._emulator: Any = None
        self._actions: list[NDArray[Any]] = []
        self._observation: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset the environment and begin a new journal."""
        self._has_begun = True
        self._seed, self._options = seed, options
        game: Any = self.env.unwrapped
        self._rng_state = game.np_random.bit_generator.state
        self._emulator = game.clone_state(include_rng=True) if has_emulator(game) else None
        self._actions = []
        self._observation, info = self.env.reset(seed=seed, options=options)
        return self._observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step the environment and note the action."""
        if len(self._actions) <= MAX_JOURNAL_STEPS:
            self._actions.append(np.array(action))
        result = self.env.step(action)
        self._observation = result[0]
        return result

    def so_far(self) -> EpisodeSoFar | None:
        """Return the journal, None when the episode began before it, or is too long."""
        if not self._has_begun or len(self._actions) > MAX_JOURNAL_STEPS:
            return None
        return EpisodeSoFar(
            self._seed,
            self._options,
            self._rng_state,
            self._emulator,
            np.array(self._actions),
            self._observation,
        )

    def play_again(self, episode: EpisodeSoFar) -> None:
        """Bring the environment to where the journal ends.

        Raises:
            CannotRestore: The environment showed something else this time.
        """
        game: Any = self.env.unwrapped
        game.np_random.bit_generator.state = episode.rng_state
        if has_emulator(game):
            game.restore_state(episode.emulator)
        observation, _ = self.reset(seed=episode.seed, options=episode.options)
        for action in episode.actions:
            observation, *_ = self.step(action.item() if action.ndim == 0 else action)
        if not same_observation(observation, episode.observation):
            raise CannotRestore("played again, it did not show what it showed before")


def with_journal(env: gymnasium.Env[Any, Any]) -> gymnasium.Env[Any, Any]:
    """Return the environment, in a journal if it cannot be pickled whole."""
    if only_pretends_to_pickle(env):
        return Journal(env)
    try:
        pickled(env)
    except CannotPickle as error:
        return Journal(env, str(error))
    return env


def only_pretends_to_pickle(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether pickling loses the state of an environment, or of a wrapper around it."""
    layer: gymnasium.Env[Any, Any] = env
    while True:
        if isinstance(layer, EzPickle):
            return True
        if not isinstance(layer, gymnasium.Wrapper):
            return False
        layer = layer.env


def has_emulator(env: gymnasium.Env[Any, Any]) -> bool:
    """Whether an unwrapped environment is a game of the Arcade Learning Environment."""
    return hasattr(env, "ale") and hasattr(env, "clone_state")


def journal_of(env: gymnasium.Env[Any, Any]) -> Journal | None:
    """Return the journal among an environment's wrappers, None when it is pickled."""
    layer: gymnasium.Env[Any, Any] = env
    while isinstance(layer, gymnasium.Wrapper):
        if isinstance(layer, Journal):
            return layer
        layer = layer.env
    return None


def same_observation(one: Any, other: Any) -> bool:
    """Whether two observations are equal to the last bit, NaN included."""
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_observation(one[k], other[k]) for k in one)
    if isinstance(one, tuple):
        return len(one) == len(other) and all(map(same_observation, one, other))
    left: NDArray[Any] = np.asarray(one)
    right: NDArray[Any] = np.asarray(other)
    return (
        left.dtype == right.dtype
        and left.shape == right.shape
        and left.tobytes() == right.tobytes()
    )
