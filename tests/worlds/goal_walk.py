"""Environments with goals, for tests, that need nothing but Gymnasium."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class SilentGoalWalk(gymnasium.Env[Any, Any]):
    """Twelve steps on a line towards a place that is another in each episode.

    It does not say what another place would have paid.
    """

    def __init__(self, actions: str = "discrete") -> None:
        place = spaces.Box(-1.0, 1.0, (1,))
        self.observation_space = spaces.Dict(
            {
                "observation": place,
                "achieved_goal": place,
                "desired_goal": place,
            }
        )
        self.action_space: Any = (
            spaces.Discrete(3) if actions == "discrete" else spaces.Box(-1.0, 1.0, (1,))
        )
        self.place, self.goal, self.time = np.zeros(1, np.float32), np.zeros(1, np.float32), 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place = self.np_random.uniform(-0.2, 0.2, 1).astype(np.float32)
        self.goal = self.np_random.uniform(-1.0, 1.0, 1).astype(np.float32)
        self.time = 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        is_discrete = isinstance(self.action_space, spaces.Discrete)
        push = float(action) - 1 if is_discrete else float(action[0])
        self.place = np.clip(self.place + 0.2 * np.float32(push), -1, 1)
        self.time += 1
        reward = float(self._paid(self.place, self.goal))
        return self._seen(), reward, reward == 0, self.time == 12, {}

    def _paid(self, achieved_goal: Any, desired_goal: Any) -> Any:
        return -(np.abs(achieved_goal - desired_goal).sum(axis=-1) > 0.1).astype(np.float32)

    def _seen(self) -> Any:
        return {
            "observation": self.place.copy(),
            "achieved_goal": self.place.copy(),
            "desired_goal": self.goal.copy(),
        }


class GoalWalk(SilentGoalWalk):
    """The same, and it says so."""

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        return self._paid(achieved_goal, desired_goal)


gymnasium.register("GoalWalk-v0", entry_point=GoalWalk)
gymnasium.register("SilentGoalWalk-v0", entry_point=SilentGoalWalk)
