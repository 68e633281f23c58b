"""What is asked of a run while it trains: looked for in its row, passed on to its trainer."""

import threading
import time
from datetime import datetime
from typing import cast

from apps.engine.control import StopStatus
from apps.engine.protocol import Request
from apps.experiments.models import Run
from apps.jobs.bookkeeping import LogCopier
from apps.jobs.trainer import TrainerProcess

FORCE_AFTER_S = 30.0
SHUTDOWN_REASON = "Its worker was shut down."


class Requests:
    """Passes on each save, and one stop, which is forced when it is not obeyed in time."""

    def __init__(
        self,
        run: Run,
        trainer: TrainerProcess,
        copier: LogCopier,
        shutdown: threading.Event,
        shutdown_status: StopStatus,
    ) -> None:
        self._run = run
        self._trainer = trainer
        self._copier = copier
        self._shutdown = shutdown
        self._shutdown_status = shutdown_status
        self._asked_at: float | None = None
        # When the save that was passed on last was asked for, and the checkpoints until then.
        self._save: tuple[datetime, int] | None = None
        self.was_forced = False

    def pass_on(self) -> None:
        """Look for requests; called at each beat."""
        names = ("stop_requested_at", "stop_as", "status_reason", "save_requested_at")
        row = Run.objects.filter(pk=self._run.pk).values_list(*names).first()
        if row is None:
            return  # The next beat finds out.
        stop_requested_at, stop_as, reason, save_requested_at = row
        if save_requested_at is not None:
            self._pass_save_on(save_requested_at)
        if self._asked_at is not None:
            self._force_in_time(self._asked_at)
        elif stop_requested_at is not None:
            self._pass_stop_on(cast(StopStatus, stop_as), reason)
        elif self._shutdown.is_set():
            self._pass_stop_on(self._shutdown_status, SHUTDOWN_REASON)

    def _pass_save_on(self, asked_at: datetime) -> None:
        """Ask once, and clear the request when a checkpoint has come since."""
        if self._save is None or self._save[0] != asked_at:
            self._save = (asked_at, self._copier.n_checkpoints)
            self._trainer.send({"control": "save"})
        elif self._copier.n_checkpoints > self._save[1]:
            same = Run.objects.filter(pk=self._run.pk, save_requested_at=asked_at)
            same.update(save_requested_at=None)

    def _pass_stop_on(self, ends_as: StopStatus, reason: str) -> None:
        request: Request = {"control": "stop", "ends_as": ends_as, "reason": reason}
        self._trainer.send(request)
        self._asked_at = time.monotonic()

    def _force_in_time(self, asked_at: float) -> None:
        if time.monotonic() - asked_at > FORCE_AFTER_S and not self.was_forced:
            self.was_forced = True
            self._trainer.kill()
