"""Wrappers of our own: the latest observations stacked, and Atari as the literature plays it.

A wrapper that says `is_for_training_only = True` is left out of evaluations and films.
"""

from typing import Any, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from PIL import Image

Frame = NDArray[np.uint8]
Pixels = gymnasium.Env[Frame, int]


class FrameStack(
    gymnasium.Wrapper[NDArray[Any], Any, NDArray[Any], Any], gymnasium.utils.RecordConstructorArgs
):
    """Shows the latest observations side by side along the last axis, oldest first.

    Before there are enough, the missing ones are zeros, as in Stable-Baselines3's VecFrameStack.
    """

    def __init__(self, env: gymnasium.Env[NDArray[Any], Any], count: int) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, count=count)
        super().__init__(env)
        space = env.observation_space
        assert isinstance(space, spaces.Box)
        self._width = space.shape[-1]
        self.observation_space = spaces.Box(
            np.concatenate([space.low] * count, axis=-1),
            np.concatenate([space.high] * count, axis=-1),
            dtype=space.dtype.type,
        )
        self._stack = np.zeros(self.observation_space.shape, self.observation_space.dtype)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Forget what was seen."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._stack = np.zeros_like(self._stack)
        return self._push(observation), info

    def step(self, action: Any) -> tuple[NDArray[Any], SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and show the newest observation last."""
        observation, reward, is_terminated, is_truncated, info = self.env.step(action)
        return self._push(observation), reward, is_terminated, is_truncated, info

    def _push(self, observation: NDArray[Any]) -> NDArray[Any]:
        self._stack = np.concatenate([self._stack[..., self._width :], observation], axis=-1)
        return self._stack


class AtariFrames(
    gymnasium.Wrapper[Frame, int, Frame, int], gymnasium.utils.RecordConstructorArgs
):
    """One step is four frames, seen as one 84 x 84 picture in shades of grey.

    The preprocessing of Mnih et al. (2015) as Stable-Baselines3's AtariWrapper does it: up to 30
    idle frames after a reset, each action held for four frames, the brighter of the last two, the
    fire button pressed where a game waits for it. Here it is pressed after each lost life too, so
    that a policy meets the same game in training and in evaluation.
    """

    def __init__(
        self, env: Pixels, noop_max: int = 30, frame_skip: int = 4, size: int = 84
    ) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(
            self, noop_max=noop_max, frame_skip=frame_skip, size=size
        )
        super().__init__(env)
        if (skipped := getattr(env.unwrapped, "_frameskip", 1)) != 1:
            raise ValueError(
                f"the environment skips {skipped} frames already; make it with frameskip=1"
            )
        self._noop_max = noop_max
        self._frame_skip = frame_skip
        self._size = size
        self._lives = 0
        meanings = env.unwrapped.get_action_meanings()  # type: ignore[attr-defined]
        self._must_fire = len(meanings) >= 3 and meanings[1] == "FIRE"
        self.observation_space = spaces.Box(0, 255, (size, size, 1), np.uint8)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Frame, dict[str, Any]]:
        """Reset, idle for a random while, and press fire where the game waits for it."""
        frame, info = self.env.reset(seed=seed, options=options)
        idle = int(self.np_random.integers(1, self._noop_max + 1)) if self._noop_max else 0
        for action in [0] * idle + [1, 2] * self._must_fire:
            frame, _, is_terminated, is_truncated, info = self.env.step(action)
            if is_terminated or is_truncated:
                frame, info = self.env.reset(options=options)
        self._lives = self._lives_left()
        return self._shrink(frame), info

    def step(self, action: int) -> tuple[Frame, SupportsFloat, bool, bool, dict[str, Any]]:
        """Hold an action for four frames and add up their rewards."""
        total = 0.0
        frames: list[Frame] = []
        for _ in range(self._frame_skip):
            frame, reward, is_terminated, is_truncated, info = self.env.step(action)
            total += float(reward)
            frames = [*frames[-1:], frame]
            if is_terminated or is_truncated:
                break
        is_over = is_terminated or is_truncated
        lives, self._lives = self._lives, self._lives_left()
        if self._must_fire and 0 < self._lives < lives and not is_over:
            frame, reward, is_terminated, is_truncated, info = self.env.step(1)
            total += float(reward)
            frames = [*frames[-1:], frame]
        picture = np.maximum.reduce(frames)
        return self._shrink(picture), total, is_terminated, is_truncated, info

    def _lives_left(self) -> int:
        return int(self.env.unwrapped.ale.lives())  # type: ignore[attr-defined]

    def _shrink(self, frame: Frame) -> Frame:
        picture = Image.fromarray(frame)
        grey = picture if picture.mode == "L" else picture.convert("L")
        small = grey.resize((self._size, self._size), Image.Resampling.BOX)
        return np.asarray(small)[:, :, np.newaxis]


class LifeIsEpisode(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Ends an episode with each lost life, in training only; the game is reset when it is over.

    It teaches that a life is worth something (Mnih et al., 2015).
    """

    is_for_training_only = True

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)
        self._lives = 0
        self._is_game_over = True

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Start a new game where the last one is over, else go on with the next life."""
        if self._is_game_over or seed is not None:
            observation, info = self.env.reset(seed=seed, options=options)
        else:
            observation, _, is_terminated, is_truncated, info = self.env.step(0)
            if is_terminated or is_truncated:
                observation, info = self.env.reset(options=options)
        self._is_game_over = False
        self._lives = self._lives_left()
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and call a lost life the end."""
        observation, reward, is_terminated, is_truncated, info = self.env.step(action)
        self._is_game_over = is_terminated or is_truncated
        lives, self._lives = self._lives, self._lives_left()
        is_terminated = is_terminated or 0 < self._lives < lives
        return observation, reward, is_terminated, is_truncated, info

    def _lives_left(self) -> int:
        return int(self.env.unwrapped.ale.lives())  # type: ignore[attr-defined]


class ClipReward(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Gives the sign of a reward, in training only, so that all games pay alike."""

    is_for_training_only = True

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self)
        super().__init__(env)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and keep of the reward its sign."""
        observation, reward, is_terminated, is_truncated, info = self.env.step(action)
        return observation, float(np.sign(float(reward))), is_terminated, is_truncated, info
