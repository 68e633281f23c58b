"""Counts episodes as the library's Monitor does, without rounding what they return."""

from typing import Any, SupportsFloat

from stable_baselines3.common.monitor import Monitor


class EpisodeMonitor(Monitor):
    """The library's Monitor; returns are not rounded to six decimals: some are 1e-7."""

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step, and say what an episode that has ended returned."""
        result = super().step(action)
        if self.needs_reset:
            result[-1]["episode"]["r"] = self.episode_returns[-1]
        return result
