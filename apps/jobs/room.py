"""What of this machine a run gets, at this moment: whether its memory is there, and its cores.

A run is not started while it would not fit. One that would fit once our own runs have ended keeps
its turn, so that small ones do not keep it out for ever; one that would not fit even then (others
took the memory, or the machine is too small) lets the next go first.
"""

import socket
from contextlib import suppress
from dataclasses import dataclass

from django.conf import settings

from apps.engine import gpu, machine
from apps.engine.errors import RunDirectoryError
from apps.engine.rundir import read_json
from apps.engine.verdicts import size_in_words
from apps.experiments.models import Relation, Run, RunStatus


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
        if needed_bytes <= (min(left, self.free_bytes) if self.limit_bytes is None else left):
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
        words = (memory.why_not(getattr(run, memory.column)) for memory in self.memories)
        return next(filter(None, words), "")


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
    own = _own_memory(running)
    gpus = gpu.memory_bytes()
    return Room((own,) if gpus is None else (own, _gpu_memory(running, *gpus)))


def _own_memory(running: list[Run]) -> Memory:
    holders = [run.directory.lock_holder() for run in running]
    return Memory(
        column="memory_bytes",
        name="memory",
        advice="end what else takes memory, or make its buffer smaller",
        free_bytes=machine.memory_bytes()[0],
        ours_bytes=sum(machine.resident_bytes(pid) for pid in holders if pid),
        reserved_bytes=sum(run.memory_bytes for run in running),
        limit_bytes=(settings.MAX_MEMORY_MB << 20) or None,
    )


def _gpu_memory(running: list[Run], free_bytes: int, total_bytes: int) -> Memory:
    reserved_bytes = sum(run.gpu_memory_bytes for run in running)
    return Memory(
        column="gpu_memory_bytes",
        name="the GPU's memory",
        advice="end what else takes it, use a smaller batch, or train with device cpu",
        free_bytes=free_bytes,
        # In a container the driver does not tell which process takes how much.
        ours_bytes=min(reserved_bytes, total_bytes - free_bytes),
        reserved_bytes=reserved_bytes,
    )
