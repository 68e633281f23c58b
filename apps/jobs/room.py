"""What of this machine a run gets, at this moment: whether its memory is there, and its cores.

A run is not started while it would not fit. One that would fit once our own runs have ended keeps
its turn, so that small ones do not keep it out for ever; one that would not fit even then (others
took the memory, or the machine is too small) lets the next go first.
"""

import socket
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings

from apps.engine import machine
from apps.engine.errors import RunDirectoryError
from apps.engine.rundir import read_json
from apps.engine.verdicts import size_in_words
from apps.experiments.models import Relation, Run, RunStatus


@dataclass(frozen=True, slots=True)
class Room:
    """What memory this machine has for runs.

    Attributes:
        free_bytes: What nobody takes.
        ours_bytes: What the trainers of its running runs take.
        reserved_bytes: What those runs will take when their buffers are full.
        limit_bytes: What the settings let all runs together take, None where nothing does.
    """

    free_bytes: int
    ours_bytes: int
    reserved_bytes: int
    limit_bytes: int | None

    @property
    def for_runs_bytes(self) -> int:
        """What all runs together may take."""
        return self.free_bytes + self.ours_bytes if self.limit_bytes is None else self.limit_bytes

    def has(self, run: Run) -> bool:
        """Whether a run may be started now."""
        left = self.for_runs_bytes - self.reserved_bytes
        # Somebody who set a limit knows better than a look at this moment.
        return run.memory_bytes <= (
            min(left, self.free_bytes) if self.limit_bytes is None else left
        )

    def why_not(self, run: Run) -> str:
        """Say why a run is not started; empty when it may be."""
        if self.has(run):
            return ""
        needed = f"it takes about {size_in_words(run.memory_bytes)} of memory"
        limit = "" if self.limit_bytes is None else " (RLGYM_MAX_MEMORY_MB)"
        room = f"{size_in_words(self.for_runs_bytes)} are there for runs{limit}"
        if run.memory_bytes <= self.for_runs_bytes:
            return f"{needed}, {room} and running ones need {size_in_words(self.reserved_bytes)}"
        return f"{needed} and {room}; end what else takes memory, or make its buffer smaller"


def threads_for(run: Run, at_most: int) -> int:
    """Return how many threads a run that begins now takes if its network reads pictures.

    The cores are shared with what trains and waits now: alone it takes all of them. A reproduction
    takes as many as the original, since with others sums come out in another order.

    Args:
        run: The run.
        at_most: How many runs this machine trains at once.
    """
    if run.relation == Relation.REPRODUCE and run.parent is not None:
        with suppress(RunDirectoryError):
            told = read_json(run.parent.directory.provenance).get("torch_threads")
            if isinstance(told, int):
                return told
    trains = Run.objects.running_on(socket.gethostname()).count()
    waits = Run.objects.filter(status=RunStatus.QUEUED).count()
    return max(1, machine.cores() // max(1, min(at_most, trains + waits)))


def look() -> Room:
    """Look at this machine once."""
    running = list(Run.objects.running_on(socket.gethostname()))
    holders = [run.directory.lock_holder() for run in running]
    return Room(
        free_bytes=machine.memory_bytes()[0],
        ours_bytes=sum(machine.resident_bytes(pid) for pid in holders if pid),
        reserved_bytes=sum(run.memory_bytes for run in running),
        limit_bytes=(settings.MAX_MEMORY_MB << 20) or None,
    )
