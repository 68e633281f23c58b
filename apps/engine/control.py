"""How whoever watches a trainer speaks to it while it works."""

from dataclasses import dataclass

from apps.protocol.messages import StopStatus


@dataclass(slots=True)
class Control:
    """Requests to a running trainer; another thread may set them at any time.

    Attributes:
        is_stop_requested: End at the next rollout, after a checkpoint.
        is_save_requested: Save a checkpoint at the next rollout and go on.
        ends_as: The status that a requested stop ends in.
        reason: Why it was asked to stop, for people.
        step: Environment steps done; the training says so.
        is_in_rollout: Whether it plays; between two rollouts it learns and saves.
    """

    is_stop_requested: bool = False
    is_save_requested: bool = False
    ends_as: StopStatus = "stopped"
    reason: str = ""
    step: int = 0
    is_in_rollout: bool = True

    def request_stop(self, ends_as: StopStatus = "stopped", reason: str = "") -> None:
        """Ask for an end at the next rollout; the first request counts."""
        if not self.is_stop_requested:
            self.ends_as = ends_as
            self.reason = reason
            self.is_stop_requested = True
