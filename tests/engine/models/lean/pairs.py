"""Algorithms of the library beside the lean ones, and what is compared of them."""

from typing import Any

import torch
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.logger import KVWriter

from apps.engine.models.lean.on_policy import LeanA2C, LeanPPO

SMALL: dict[str, Any] = {"n_steps": 32, "batch_size": 64, "n_epochs": 3}
PAIRS = {"ppo": (PPO, LeanPPO), "a2c": (A2C, LeanA2C)}


class Rows(KVWriter):
    """What was logged, but for the clock's."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: Any, step: int = 0) -> None:
        self.rows.append({k: v for k, v in key_values.items() if not k.startswith("time/")})

    def close(self) -> None:
        """Nothing to close."""


def tensors_of(model: Any) -> list[torch.Tensor]:
    states = model.policy.optimizer.state_dict()["state"].values()
    return [
        *model.policy.state_dict().values(),
        *(state[name] for state in states for name in sorted(state)),
    ]
