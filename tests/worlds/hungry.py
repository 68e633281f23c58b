"""An environment that eats memory until there is none left for its process."""

import resource
from typing import Any

import gymnasium
import psutil
from gymnasium import spaces

STEPS_BEFORE_HUNGER = 500
ROOM_BYTES = 200_000_000
BITE_BYTES = 20_000_000


class Hungry(gymnasium.Env[Any, Any]):
    observation_space = spaces.Box(-1.0, 1.0, (2,))
    action_space = spaces.Discrete(2)

    def __init__(self) -> None:
        self.steps = 0
        self.eaten: list[bytearray] = []

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == STEPS_BEFORE_HUNGER:
            limit = psutil.Process().memory_info().vms + ROOM_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        if self.steps >= STEPS_BEFORE_HUNGER:
            self.eaten.append(bytearray(BITE_BYTES))
        return self.observation_space.sample(), 0.0, False, self.steps % 10 == 0, {}


gymnasium.register("Hungry-v0", entry_point=Hungry)
