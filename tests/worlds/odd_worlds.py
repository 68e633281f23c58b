"""Environments that broke something, each the smallest of its kind.

The docstring of each says what it must give. `tests.worlds.give_odd_worlds` puts this file among a
user's own modules, where its ids are `odd_worlds:<Class>-v0`.
"""

import multiprocessing
import os
import string
import sys

import gymnasium
import numpy as np
from gymnasium import spaces


class World(gymnasium.Env):
    """Ten steps, one point each; observations tell the step and where the episode began."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}
    observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)
    action_space = spaces.Discrete(2)
    length = 10

    def __init__(self, render_mode=None):
        self.render_mode = render_mode
        self.total = 0

    def seen(self):
        return np.array([self.n, self.start], np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.n, self.start = 0, float(self.np_random.uniform(-1, 1))
        return self.seen(), {}

    def reward(self, action):
        return 1.0

    def step(self, action):
        self.n += 1
        self.total += 1
        return self.seen(), self.reward(action), self.n >= self.length, False, {}

    def render(self):
        frame = np.zeros((64, 96, 3), np.uint8)
        frame[:, : 9 * self.n] = 200
        return frame


class Pool(World):
    """Holds what cannot be pickled: trains, journals its episodes, resumes."""

    def __init__(self, render_mode=None):
        super().__init__(render_mode)
        self.pool = multiprocessing.Pool(1)


class TextObservation(World):
    """Observes text: refused before the queue, naming the space and what is allowed."""

    observation_space = spaces.Text(8, charset=string.ascii_lowercase)

    def seen(self):
        return "abc"


class Unbounded(World):
    """Box actions without bounds: refused before the queue, or trained right."""

    action_space = spaces.Box(-np.inf, np.inf, (1,), np.float32)


class Offset(World):
    """Actions 5, 6, 7 exist.

    Every action in training, evaluation and replay is one of them, or a refusal before the queue.
    """

    action_space = spaces.Discrete(3, start=5)

    def reward(self, action):
        return 1.0 if 5 <= int(action) < 8 else float("-inf")


class Grid(World):
    """A table of discrete choices: refused before the queue in words, or trained right."""

    action_space = spaces.MultiDiscrete(np.array([[3, 2], [2, 4]]))


class SmallPicture(World):
    """Too small for the picture network: refused before the queue in words, or another network."""

    observation_space = spaces.Box(0, 255, (16, 16, 3), np.uint8)

    def seen(self):
        return np.full((16, 16, 3), self.n % 255, np.uint8)


class NanReward(World):
    """A NaN reward at step 700.

    The run fails, naming the reward and the step; never `completed` with NaN weights.
    """

    def reward(self, action):
        return float("nan") if self.total == 700 else 1.0


class Exits(World):
    """Ends the process at step 900: failed, saying when, not `before it could start`."""

    def reward(self, action):
        if self.total == 900:
            os._exit(3)
        return 1.0


class ExitsPolitely(World):
    """The same by SystemExit."""

    def reward(self, action):
        if self.total == 900:
            sys.exit(0)
        return 1.0


class TinyReward(World):
    """Returns of 1e-7: shown as such in training, evaluation, lists, charts."""

    def reward(self, action):
        return 1e-8


class HugeReward(World):
    """Returns near 1.7e308: columns keep their width, axes their labels."""

    length = 1

    def reward(self, action):
        return 1.7e308


class BrokenRenderer(World):
    """Rendering raises: the evaluation keeps its returns, the video says why there is none."""

    def render(self):
        raise RuntimeError("no display")


class Endless(World):
    """Never ends, no step limit.

    An evaluation and its video have an end, and hold nothing else up.
    """

    def step(self, action):
        observation, reward, _, _, info = super().step(action)
        return observation, reward, False, False, info


class Bits(gymnasium.Env):
    """For hindsight: seven steps an episode.

    After a branch with other environment arguments no stored episode is longer than seven.
    """

    def __init__(self, bits=7):
        part = spaces.Box(0, 1, (bits,), np.float32)
        self.bits = bits
        self.observation_space = spaces.Dict(
            observation=part, achieved_goal=part, desired_goal=part
        )
        self.action_space = spaces.Discrete(bits)

    def seen(self):
        return {
            "observation": self.x.copy(),
            "achieved_goal": self.x.copy(),
            "desired_goal": np.ones(self.bits, np.float32),
        }

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.x = self.np_random.integers(0, 2, self.bits).astype(np.float32)
        return self.seen(), {}

    def compute_reward(self, achieved_goal, desired_goal, info):
        return -(np.abs(achieved_goal - desired_goal).sum(-1) > 0).astype(np.float32)

    def step(self, action):
        self.x[int(action)] = 1 - self.x[int(action)]
        seen = self.seen()
        return (
            seen,
            float(self.compute_reward(seen["achieved_goal"], seen["desired_goal"], {})),
            False,
            False,
            {},
        )


WORLDS = (
    World,
    Pool,
    TextObservation,
    Unbounded,
    Offset,
    Grid,
    SmallPicture,
    NanReward,
    Exits,
    ExitsPolitely,
    TinyReward,
    HugeReward,
    BrokenRenderer,
    Endless,
)
for _world in WORLDS:
    gymnasium.register(f"{_world.__name__}-v0", _world)
gymnasium.register("Bits-v0", Bits, max_episode_steps=7)
