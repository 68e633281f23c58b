"""Why a queued run does not train yet, in words for its page."""

import socket
from collections.abc import Sequence
from pathlib import Path

from django.conf import settings

from apps.experiments.models import Run, RunStatus
from apps.jobs import presence, room
from apps.jobs.presence import Worker


def training_slots(workers: Sequence[Worker]) -> int:
    """Return how many runs some workers of one machine train at once, together."""
    own = sum(worker.slots for worker in workers)
    return min(own, max((worker.max_runs for worker in workers), default=0))


def why_runs_wait(run: Run | None = None) -> str:
    """Say what holds the queue up: the disk, workers, slots, memory, or nothing but a moment.

    Args:
        run: The queued run that asks; None: any.
    """
    if words := room.why_no_disk():
        return words
    workers = presence.living(Path(settings.HOME))
    if not workers:
        return "no worker is alive; start one with `python manage.py worker`"
    slots = training_slots(workers)
    busy = Run.objects.running_on(socket.gethostname()).count()
    if busy < slots:
        return _why_memory(run) or "a worker takes the next one in a moment"
    told = f"{busy} of {slots} training slots are busy"
    is_limited = slots < sum(worker.slots for worker in workers)
    return f"{told}, the limit of this machine (RLGYM_MAX_RUNS)" if is_limited else told


def _why_memory(run: Run | None) -> str:
    """Say which memory is missing: of a run that cannot fit now, else of the first in turn."""
    memory = room.look()
    line = memory.line(run)
    first = line.next_queued()
    asking = run or first or Run.objects.next_queued()
    if asking is None or first in (asking, None) or not line.filter(pk=asking.pk).exists():
        return memory.why_not(asking) if asking else ""
    words = memory.why_not(first)
    return f"the first in turn, {first.name}, waits: {words}" if words else ""


def why_it_waits(run: Run) -> str:
    """Say why a queued run waits and how many go before it; empty for any other run."""
    if run.status != RunStatus.QUEUED:
        return ""
    order = Run.objects.in_turn()
    ahead = order.index(run.pk) if run.pk in order else 0
    place = (
        "it is next"
        if not ahead
        else f"{ahead:,} {'runs go' if ahead > 1 else 'run goes'} before it"
    )
    return f"{why_runs_wait(run)}; {place}"
