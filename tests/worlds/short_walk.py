"""An environment for tests that needs nothing but Gymnasium, so that any process can import it."""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import EzPickle


class ShortWalk(gymnasium.Env[Any, Any]):
    """Ten steps on a line; the further right the better. Half of the time left is forbidden."""

    observation_space = spaces.Box(-1.0, 1.0, (2,))

    def __init__(self, actions: str = "discrete") -> None:
        self.action_space: Any = {
            "discrete": spaces.Discrete(3),
            "box": spaces.Box(-2.0, 2.0, (1,)),
            "plane": spaces.Box(-2.0, 2.0, (2,)),
            "multi_discrete": spaces.MultiDiscrete([3, 2]),
            "multi_binary": spaces.MultiBinary(2),
        }[actions]
        self.place, self.time = 0.0, 0
        self.forbidden: list[int] = []

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.time = float(self.np_random.uniform(-0.1, 0.1)), 0
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        if isinstance(self.action_space, spaces.Discrete) and not self.action_masks()[action]:
            self.forbidden.append(int(action))
        push = float(np.asarray(action, dtype=float).ravel()[0])
        self.place = float(np.clip(self.place + 0.1 * (push - 1), -1, 1))
        self.time += 1
        return self._seen(), self.place, False, self.time == 10, {}

    def action_masks(self) -> Any:
        return np.array([self.time % 2 == 0, True, True])

    def _seen(self) -> Any:
        return np.array([self.place, self.time / 10], dtype=np.float32)


class PretendingWalk(EzPickle, ShortWalk):
    """The same walk, but it only pretends to pickle, as Box2D's environments do."""

    def __init__(self, **options: Any) -> None:
        EzPickle.__init__(self, **options)
        ShortWalk.__init__(self, **options)


class TroubledWalk(ShortWalk):
    """The same walk, which draws its rewards from the process's generator, or raises."""

    def __init__(self, raises_at: int = 0) -> None:
        super().__init__()
        self.raises_at = raises_at

    def step(self, action: Any) -> Any:
        if self.time + 1 == self.raises_at:
            raise RuntimeError("the walk broke off")
        observation, _, *rest = super().step(action)
        return observation, np.random.random(), *rest  # noqa: NPY002 - on purpose


gymnasium.register("ShortWalk-v0", entry_point=ShortWalk)
gymnasium.register("PretendingWalk-v0", entry_point=PretendingWalk)
gymnasium.register("TroubledWalk-v0", entry_point=TroubledWalk)
