"""What is asked of a run while it trains: looked for in its row, passed on to its trainer."""

import threading
import time
from datetime import datetime
from typing import cast

from apps.experiments.models import Run
from apps.jobs.rows import LogCopier
from apps.jobs.trainers import TrainerProcess
from apps.protocol.messages import Request, StopStatus

# A training that shows no progress for so long after it was asked to end hangs.
FORCE_AFTER_S = 30.0
# A worker that ends waits no longer than this for one that computes: Huey gives it 30 s.
SHUTDOWN_AFTER_S = 25.0
SHUTDOWN_REASON = "Its worker was shut down."


class Requests:
    """Passes on each save, and one stop, which is forced when the trainer hangs.

    Attributes:
        forced_as: What the run was asked to become when its trainer was forced; None: it was not.
        forced_reason: What was wrong with it, for people.
    """

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
        self._ends_as: StopStatus | None = None
        self._asked_at = self._moved_at = 0.0
        self._progress: tuple[object, ...] = ()
        # When the save that was passed on last was asked for, and the checkpoints until then.
        self._save: tuple[datetime, int] | None = None
        self.forced_as: StopStatus | None = None
        self.forced_reason = ""

    def pass_on(self) -> None:
        """Look for requests; called at each beat."""
        names = ("stop_requested_at", "stop_as", "status_reason", "save_requested_at")
        row = Run.objects.filter(pk=self._run.pk).values_list(*names).first()
        if row is None:
            return  # The next beat finds out.
        stop_requested_at, stop_as, reason, save_requested_at = row
        if save_requested_at is not None:
            self._pass_save_on(save_requested_at)
        if self._ends_as is not None:
            self._force_if_it_hangs(self._ends_as)
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
        self._ends_as = ends_as
        self._asked_at = self._moved_at = time.monotonic()

    def _force_if_it_hangs(self, ends_as: StopStatus) -> None:
        if self.forced_as is not None:
            return
        now, progress = time.monotonic(), self._progress_now()
        if progress != self._progress:
            self._progress, self._moved_at = progress, now
        if now - self._moved_at > FORCE_AFTER_S:
            self.forced_reason = (
                f"It showed no progress for {FORCE_AFTER_S:.0f} s after it was asked to end, and "
                "was forced."
            )
        elif self._shutdown.is_set() and now - self._asked_at > SHUTDOWN_AFTER_S:
            self.forced_reason = f"{SHUTDOWN_REASON} It was amid an update, and was forced."
        else:
            return
        self.forced_as = ends_as
        self._trainer.kill()

    def _progress_now(self) -> tuple[object, ...]:
        """Return something that changes while the trainer gets on.

        In a rollout that is the step: an environment that goes round in circles takes processor
        time too. Between two rollouts the library learns or we save, and processor time shows it.
        """
        phase = self._trainer.phase
        told = phase.get("result") if phase else None
        if told is None or told["is_in_rollout"]:
            return ("step", told and told["step"])
        # In quarters of a second: a process that sleeps takes a hundredth in half a minute.
        return ("processor", int(self._trainer.processor_s() * 4))
