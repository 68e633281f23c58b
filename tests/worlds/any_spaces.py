"""An environment of whatever spaces a test sets, which takes no action that is outside of them."""

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium import spaces


class AnySpaces(gymnasium.Env[Any, Any]):
    """Five steps; shows samples of its space, pays one for each action inside of the other."""

    seen: ClassVar[Any] = spaces.Box(-1, 1, (2,))
    taken: ClassVar[Any] = spaces.Discrete(2)
    actions: ClassVar[list[Any]] = []

    def __init__(self) -> None:
        self.observation_space, self.action_space = self.seen, self.taken
        self.n = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.n = 0
        return self._look(), {}

    def step(self, action: Any) -> Any:
        if not self.action_space.contains(action):
            raise AssertionError(f"{action!r} is not in {self.action_space}")
        self.actions.append(action)
        self.n += 1
        return self._look(), 1.0, self.n >= 5, False, {}

    def _look(self) -> Any:
        return self.observation_space.sample()

    def action_masks(self) -> Any:
        space = self.action_space
        if isinstance(space, spaces.MultiBinary):
            return np.ones(2 * int(np.prod(space.shape)), dtype=bool)
        return np.ones(int(np.sum(getattr(space, "nvec", getattr(space, "n", 1)))), dtype=bool)


gymnasium.register("AnySpaces-v0", AnySpaces)
