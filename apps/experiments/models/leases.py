"""Leases: how a row says who works on it, and how a write is fenced."""

import socket
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import F
from django.utils import timezone

SILENT_AFTER_BEATS = 10
# How the owner of what is trained in a terminal ends: no worker will go on with it by itself.
TERMINAL = "terminal"


class Leased(models.Model):
    """A row that one supervisor owns while it works on it.

    `attempt` is the fence: every write of a supervisor names the attempt it claimed, so a
    supervisor that was given up on and wakes again changes nothing. `beats` only counts; whoever
    watches judges by its own monotonic clock whether it moves, so clock jumps do not matter.
    """

    owner = models.CharField(max_length=200, blank=True, editable=False)
    attempt = models.PositiveIntegerField(default=0, editable=False)
    beats = models.PositiveIntegerField(default=0, editable=False)
    beat_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        abstract = True

    @property
    def lease_s(self) -> float:
        """Seconds without a beat after which whoever owns the row is given up."""
        return float(SILENT_AFTER_BEATS * settings.HEARTBEAT_S)

    @property
    def owner_host(self) -> str:
        """The host name of the supervisor that owns the row."""
        return self.owner.partition(":")[0]

    @property
    def owner_pid(self) -> int:
        """The process id of that supervisor on its host; 0 when nobody owns the row."""
        return int(self.owner.split(":")[1]) if ":" in self.owner else 0

    @property
    def is_on_this_host(self) -> bool:
        """Whether the supervisor that owns the row runs on this machine."""
        return self.owner_host == socket.gethostname()

    @property
    def is_in_terminal(self) -> bool:
        """Whether a command in a terminal owns the row, not a worker."""
        return self.owner.endswith(f":{TERMINAL}")

    def beat(self, **fields: Any) -> bool:
        """Say that the supervisor lives and write fields; False when the row is not its own."""
        mine = type(self)._default_manager.filter(
            pk=self.pk, owner=self.owner, attempt=self.attempt
        )
        running = mine.filter(**{"status": "running"})  # Every model that leases has a status.
        changed = running.update(beats=F("beats") + 1, beat_at=timezone.now(), **fields)
        return changed == 1

    def _refresh(self, is_winner: bool) -> bool:
        """Read the row again after a compare-and-set, and pass on whether it succeeded.

        A loser learns the new status only: with the winner's attempt it could write in its name.
        """
        self.refresh_from_db(fields=None if is_winner else ["status"])
        return is_winner
