"""Atari's own vector environment, as our wrappers of Atari show a game.

The emulator's library plays all games of a run in threads of its own and makes their pictures
there, which takes half of the time. What it does not do as the wrappers is said in
docs/performance.md.
"""

from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from apps.catalogue.stepping import LIVES, TAKEN_BY_GAMES
from apps.engine.environments.making import import_wrapper
from apps.engine.stepping.native import NativeVecEnv, NoNative
from apps.engine.wrappers import ClipReward, FrameStack
from apps.spec.run import RunSpec

MAX_EMULATOR_SEED = 2**31


class NativeAtari(NativeVecEnv):
    """Games that step together; episodes are counted as games, with the points that they pay."""

    def __init__(self, env: VectorEnv[Any, Any, Any], wrappers: Collection[type]) -> None:
        super().__init__(env)
        self._wrappers = wrappers
        self._frames = np.zeros(env.num_envs, dtype=np.int64)  # Of the game until now.

    def _seed(self, seed: int | None) -> Any:
        # Of each game, as single ones are seeded; the emulator's have a bit less.
        return None if seed is None else (seed + np.arange(self.num_envs)) % MAX_EMULATOR_SEED

    def _ended(self, dones: NDArray[np.bool_], told: Mapping[str, Any]) -> NDArray[np.bool_]:
        # A new game begins in the same step. Lives do not tell: some games give more of them.
        before, self._frames = self._frames, told["episode_frame_number"].copy()
        return dones & (self._frames <= before)

    def _paid(self, rewards: NDArray[Any]) -> NDArray[np.float32]:
        return (np.sign(rewards) if ClipReward in self._wrappers else rewards).astype(np.float32)

    def state(self) -> None:
        """Return nothing: the emulators cannot be asked for their states."""

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return whether the games are shown as a wrapper would show them."""
        return [wrapper_class in self._wrappers for _ in self._get_indices(indices)]


def make_native_atari(spec: RunSpec, threads: int) -> NativeAtari:
    """Construct the games of a spec that `catalogue.stepping.refusals` says nothing against.

    Args:
        spec: The run's spec.
        threads: Threads that play them.

    Raises:
        NoNative: The emulator is not installed, has no such game, or refuses a keyword.
    """
    try:
        make = import_module("ale_py.vector_env").AtariVectorEnv
        kwargs = {**gymnasium.spec(spec.environment).kwargs, **spec.environment_kwargs}
        env = make(
            kwargs["game"],
            spec.n_envs,
            num_threads=min(threads, spec.n_envs),
            autoreset_mode=AutoresetMode.SAME_STEP,
            stack_num=max(1, spec.frame_stack),
            reward_clipping=False,  # Episodes are counted by what the game pays.
            life_loss_info=LIVES in spec.wrappers,
            **{name: kwargs[name] for name in TAKEN_BY_GAMES & kwargs.keys()},
        )
    except (ImportError, gymnasium.error.Error, KeyError, TypeError, AssertionError) as error:
        raise NoNative(f"{spec.environment} cannot be played natively: {error}") from error
    wrappers = {import_wrapper(path) for path in spec.wrappers}
    return NativeAtari(env, wrappers | {FrameStack} if spec.frame_stack else wrappers)
