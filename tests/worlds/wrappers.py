"""Wrappers: `tests.worlds.wrappers:Doubling` and the others."""

from typing import Any

import gymnasium


class Doubling(gymnasium.RewardWrapper[Any, Any]):
    """Pays twice, or as often as it is told."""

    def __init__(self, env: Any, times: float = 2) -> None:
        super().__init__(env)
        self.times = times

    def reward(self, reward: Any) -> Any:
        return self.times * float(reward)


class TrainingDoubling(Doubling):
    """The same, in training only."""

    is_for_training_only = True


class Refusing(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Refuses whatever it is given."""

    def __init__(self, env: Any) -> None:
        raise ValueError("no thanks")
