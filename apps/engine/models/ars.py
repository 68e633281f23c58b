"""Augmented Random Search as the rest of the engine sees a learner.

sb3-contrib's own loop plays whole episodes inside a helper: its callback sees no `dones`, and the
start of a rollout is told after the random directions are drawn and the last returns forgotten.
The two corrections here change nothing of what is learnt; a test compares the weights.
"""

from typing import Any, cast

import numpy as np
from sb3_contrib import ARS
from stable_baselines3.common.callbacks import BaseCallback


class _InsideRollout:
    """A callback that has been told already that the rollout starts."""

    def __init__(self, callback: BaseCallback) -> None:
        self._callback = callback

    def on_rollout_start(self) -> None:
        """Say nothing: see `ObservableARS`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._callback, name)


class ObservableARS(ARS):
    """ARS whose callbacks see rollouts and episodes as those of other algorithms do.

    A rollout is one update: every direction is played both ways, `n_eval_episodes` each.
    """

    def _do_one_update(self, callback: BaseCallback, async_eval: Any) -> None:
        # Before anything is drawn: a checkpoint of this moment goes on with the same directions.
        callback.on_rollout_start()
        super()._do_one_update(cast(BaseCallback, _InsideRollout(callback)), async_eval)

    def _trigger_callback(
        self,
        _locals: dict[str, Any],
        _globals: dict[str, Any],
        callback: BaseCallback,
        n_envs: int,
    ) -> None:
        callback.update_locals(
            {
                "dones": np.array([_locals["done"]]),
                "infos": [_locals["info"]],
                "rewards": np.array([_locals["reward"]]),
            }
        )
        super()._trigger_callback(_locals, _globals, callback, n_envs)
