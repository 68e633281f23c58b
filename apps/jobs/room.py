"""What of this machine a run gets, at this moment: whether its memory is there, and its cores.

A run is not started while it would not fit. One that would fit once our own runs have ended keeps
its turn, so that small ones do not keep it out for ever; one that would not fit even then (others
took the memory, or the machine is too small) lets the next go first. One that waits for the GPU's
memory does not hold up runs that need none of it.
"""

import shutil
import socket
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings

from apps.errors import RunDirectoryError
from apps.experiments.models import Run, RunQuerySet
from apps.experiments.statuses import Relation, RunStatus
from apps.machine import gpu, host
from apps.rundir.files import read_json
from apps.words import size_in_words

# With less, a log and a database cannot be written for long.
MIN_FREE_BYTES = 8 << 20


@dataclass(frozen=True, slots=True)
class Memory:
    """What there is of one kind of memory: the machine's, or its GPU's.

    Attributes:
        column: The run's field that says how much of it a run takes.
        name: What it is called.
        advice: What to do where it is too small for a run.
        free_bytes: What nobody takes.
        ours_bytes: What the trainers of its running runs take.
        reserved_bytes: What those runs will take when their buffers are full.
        limit_bytes: What the settings let all runs together take, None where nothing does.
    """

    column: str
    name: str
    advice: str
    free_bytes: int
    ours_bytes: int
    reserved_bytes: int
    limit_bytes: int | None = None

    @property
    def for_runs_bytes(self) -> int:
        """What all runs together may take."""
        return self.free_bytes + self.ours_bytes if self.limit_bytes is None else self.limit_bytes

    def why_not(self, needed_bytes: int) -> str:
        """Say why what takes so much is not started now; empty when it may be."""
        left = self.for_runs_bytes - self.reserved_bytes
        # Somebody who set a limit knows better than a look at this moment.
        room_bytes = min(left, self.free_bytes) if self.limit_bytes is None else left
        if not needed_bytes or needed_bytes <= room_bytes:
            return ""
        needed = f"it takes about {size_in_words(needed_bytes)} of {self.name}"
        limit = "" if self.limit_bytes is None else " (RLGYM_MAX_MEMORY_MB)"
        room = f"{size_in_words(self.for_runs_bytes)} are there for runs{limit}"
        if needed_bytes <= self.for_runs_bytes:
            return f"{needed}, {room} and running ones need {size_in_words(self.reserved_bytes)}"
        return f"{needed} and {room}; {self.advice}"


@dataclass(frozen=True, slots=True)
class Room:
    """What memory this machine has for runs, of each kind."""

    memories: tuple[Memory, ...]

    @property
    def bounds(self) -> dict[str, int]:
        """What all runs together may take, by the run's field that says what one takes."""
        return {memory.column: memory.for_runs_bytes for memory in self.memories}

    def why_not(self, run: Run) -> str:
        """Say why a run is not started now; empty when it may be."""
        return next(iter(self._lacks(run).values()), "")

    def _lacks(self, run: Run) -> dict[str, str]:
        """Return why a run is not started, by the field that says what it takes."""
        words = {each.column: each.why_not(getattr(run, each.column)) for each in self.memories}
        return {column: why for column, why in words.items() if why}

    def line(self, asking: Run | None = None) -> RunQuerySet:
        """Return the runs that may be next, in whose order turns are taken.

        While the first of all waits for nothing but the GPU, runs that need none go on without it.

        Args:
            asking: Only for this one: those that it waits behind, or is one of.
        """
        fitting = Run.objects.that_fit(self.bounds)
        first = fitting.next_queued()
        needs_gpu = asking is not None and asking.gpu_memory_bytes > 0
        if first is None or needs_gpu or self._lacks(first).keys() != {"gpu_memory_bytes"}:
            return fitting
        return fitting.filter(gpu_memory_bytes=0)


def threads_for(run: Run, at_most: int) -> int:
    """Return in how many threads a run that begins now computes at most.

    The cores are shared with what trains and waits now: alone it takes all of them. A run that
    begins once more takes as many as at first, and a reproduction as many as its original, since
    with others sums come out in another order.

    Args:
        run: The run.
        at_most: How many runs this machine trains at once.
    """
    before = run.parent if run.relation == Relation.REPRODUCE and run.attempt < 2 else run
    if before is not None:
        with suppress(RunDirectoryError):
            told = read_json(before.directory.provenance).get("torch_threads")
            if isinstance(told, int):
                return told
    return share_of_cores(at_most)


def share_of_cores(at_most: int, more: int = 0) -> int:
    """Return how many cores each of the runs that train and wait now has.

    Args:
        at_most: How many runs this machine trains at once.
        more: Runs that are counted with them.
    """
    trains = Run.objects.running_on(socket.gethostname()).count()
    waits = Run.objects.filter(status=RunStatus.QUEUED).count()
    return max(1, host.cores() // max(1, min(at_most, trains + waits + more)))


def why_no_disk() -> str:
    """Say why the disk has no room for what a run writes; empty when it has.

    What is queued waits: started now, it could only fail.
    """
    for folder in (settings.MEDIA_ROOT, settings.HOME):
        try:
            free_bytes = shutil.disk_usage(folder).free
        except OSError as error:
            return f"{folder} cannot be used: {error.strerror}"
        if free_bytes < MIN_FREE_BYTES:
            free = f"{size_in_words(free_bytes)} of {size_in_words(MIN_FREE_BYTES)} that it takes"
            return f"the disk is full: {folder} has {free}; free some space and it goes on"
    return ""


def look() -> Room:
    """Look at this machine once."""
    running = list(Run.objects.running_on(socket.gethostname()))
    holders = [run.directory.lock_holder() for run in running]
    trainers = [pid for pid in holders if pid]
    own = Memory(
        column="memory_bytes",
        name="memory",
        advice="end what else takes memory, or make its buffer smaller",
        free_bytes=host.memory_bytes()[0],
        ours_bytes=sum(map(host.resident_bytes, trainers)),
        reserved_bytes=sum(run.memory_bytes for run in running),
        limit_bytes=(settings.MAX_MEMORY_MB << 20) or None,
    )
    found = gpu.look()
    if found is None:
        return Room((own,))
    return Room(
        (
            own,
            Memory(
                column="gpu_memory_bytes",
                name="the GPU's memory",
                advice="end what else takes it, use a smaller batch, or train with device cpu",
                free_bytes=found.free_bytes,
                ours_bytes=sum(found.taken_bytes.get(pid, 0) for pid in trainers),
                reserved_bytes=sum(run.gpu_memory_bytes for run in running),
            ),
        )
    )
