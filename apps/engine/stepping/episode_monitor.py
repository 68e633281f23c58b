"""Counts episodes as the library's Monitor does, without rounding what they return."""

from typing import Any, SupportsFloat

import gymnasium
from stable_baselines3.common.monitor import Monitor


class EpisodeMonitor(Monitor):
    """The library's Monitor, which tells an episode's return as it is: some are 1e-7.

    Args:
        env: The environment.
        rounds: Whether `r` stays rounded to six decimals, as the library has it: for who learns
            from that. The return itself is in `exact`.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], rounds: bool = False) -> None:
        super().__init__(env)
        self._rounds = rounds

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and say what an episode that has ended returned."""
        result = super().step(action)
        if self.needs_reset:
            name = "exact" if self._rounds else "r"
            result[-1]["episode"][name] = self.episode_returns[-1]
        return result
