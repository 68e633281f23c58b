"""Where a run is in its life, and every move it makes: each one compare-and-set.

Most runs are trained by a supervisor of ours. Of one that is logged, a script outside does the
work: it is never queued and never claimed, each word of its script is a beat, and what was given
up too early runs again with the next word.
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils import timezone

from apps.experiments.models.leases import Leased
from apps.experiments.statuses import (
    ACTIVE_STATUSES,
    LEGAL_MOVES,
    LOGGED_MOVES,
    IllegalMove,
    RunKind,
    RunStatus,
)

# Owner of a logged run whose script did not say where it runs: its silence alone tells.
SOMEWHERE = ":0:somewhere"


class RunLife(Leased):
    """The part of a run that changes as it lives."""

    kind = models.CharField(
        max_length=12, choices=RunKind, default=RunKind.TRAINED, editable=False
    )
    status = models.CharField(
        max_length=12, choices=RunStatus, default=RunStatus.DRAFT, editable=False
    )
    status_reason = models.CharField(max_length=500, blank=True, editable=False)
    error = models.TextField(blank=True, editable=False, help_text="Traceback of a crash.")
    stop_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    save_requested_at = models.DateTimeField(null=True, blank=True, editable=False)
    stop_as = models.CharField(max_length=12, default=RunStatus.STOPPED, editable=False)
    auto_resumes = models.PositiveIntegerField(default=0, editable=False)
    priority = models.SmallIntegerField(
        default=0, editable=False, help_text="The highest leaves the queue first."
    )

    created_at = models.DateTimeField(default=timezone.now, editable=False)
    queued_at = models.DateTimeField(null=True, blank=True, editable=False)
    started_at = models.DateTimeField(null=True, blank=True, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    @property
    def is_logged(self) -> bool:
        """Whether a script outside does its work."""
        return self.kind == RunKind.LOGGED

    @property
    def is_active(self) -> bool:
        """Whether the run is queued or running."""
        return self.status in ACTIVE_STATUSES

    @property
    def lease_s(self) -> float:
        return float(settings.LOGGED_LEASE_S) if self.is_logged else super().lease_s

    @property
    def is_silent(self) -> bool:
        """Whether whoever does a running run's work has not been heard of for too long.

        What a page shows until a watchdog decides; the watchdog itself does not trust this clock.
        """
        if self.status != RunStatus.RUNNING or self.beat_at is None:
            return False
        silence = timedelta(seconds=self.lease_s / 2 if self.is_logged else self.lease_s)
        return timezone.now() - self.beat_at > silence

    @property
    def elapsed_s(self) -> float | None:
        """Seconds since training began, until it ended; None before it began."""
        if self.started_at is None:
            return None
        return ((self.finished_at or timezone.now()) - self.started_at).total_seconds()

    def legal_moves(self) -> list[str]:
        """Return the statuses this run may go to."""
        return [str(s) for s in (LOGGED_MOVES if self.is_logged else LEGAL_MOVES)[self.status]]

    def move_to(self, status: RunStatus, **fields: Any) -> None:
        """Change the status by compare-and-set, and refresh this object.

        The row must still have the status and the attempt that this object was read with, and to
        queue again also the same request to end: one that has come since is not forgotten.

        Raises:
            IllegalMove: The run's life does not allow it, or somebody else moved it first.
        """
        if status not in self.legal_moves():
            raise IllegalMove(self.status, status, self.legal_moves())
        now = timezone.now()
        # Whatever ends a running run saves it.
        stamps: dict[str, Any] = {"finished_at": now, "save_requested_at": None}
        if status == RunStatus.QUEUED:
            stamps |= {"queued_at": now, "stop_requested_at": None, "finished_at": None}
        elif status == RunStatus.RUNNING:
            stamps = {"started_at": now}
        mine = self._rows().filter(status=self.status, attempt=self.attempt)
        if status == RunStatus.QUEUED:
            mine = mine.filter(stop_requested_at=self.stop_requested_at)
        changed = mine.update(status=status, **stamps, **fields)
        self._refresh(bool(changed))
        if not changed:
            raise IllegalMove(self.status, status, self.legal_moves(), is_too_late=True)

    def hear(self, **fields: Any) -> bool:
        """Take a word of its script as a logged run's beat, with fields; False unless it runs."""
        running = self._rows().filter(kind=RunKind.LOGGED, status=RunStatus.RUNNING)
        return running.update(beats=F("beats") + 1, beat_at=timezone.now(), **fields) == 1

    def revive(self) -> bool:
        """Let a logged run go on that was given up; False when it is not lost.

        The process that began it may be gone for good: from now on its silence alone tells.
        """
        changed = (
            self._rows()
            .filter(kind=RunKind.LOGGED, status=RunStatus.LOST)
            .update(
                status=RunStatus.RUNNING,
                status_reason="",
                finished_at=None,
                owner=SOMEWHERE,
                attempt=F("attempt") + 1,
                beat_at=timezone.now(),
            )
        )
        return self._refresh(changed == 1)

    def _rows(self) -> "models.QuerySet[Any]":
        return type(self)._default_manager.filter(pk=self.pk)
