"""Why a queued run does not train yet, in words for its page."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from apps.experiments.models import Evaluation, Play, Run, Video
from apps.experiments.statuses import JobStatus, RunStatus
from apps.jobs import presence, room
from apps.jobs.presence import Worker

NO_WORKER = "no worker is alive; start one with `python manage.py worker`"


def training_slots(workers: Sequence[Worker]) -> int:
    """Return how many runs some workers of one machine train at once, together."""
    own = sum(worker.slots for worker in workers)
    return min(own, max((worker.max_runs for worker in workers), default=0))


def has_worker() -> bool:
    """Whether a worker lives that takes what is queued."""
    return bool(presence.living(Path(settings.HOME)))


def _why_all_wait(workers: Sequence[Worker]) -> str:
    """Say what holds up runs, evaluations and films alike; empty when nothing does."""
    return room.why_no_disk() or ("" if workers else NO_WORKER)


def why_runs_wait(run: Run | None = None) -> str:
    """Say what holds the queue up: the disk, workers, slots, memory, or nothing but a moment.

    Args:
        run: The queued run that asks; None: any.
    """
    workers = presence.living(Path(settings.HOME))
    if words := _why_all_wait(workers):
        return words
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


def why_each_waits(kind: type[Evaluation | Video]) -> dict[int, str]:
    """Say of every queued evaluation, or film, why it waits and how many go before it, by key."""
    order = kind.objects.in_turn()
    why = _why_plays_wait(kind) if order else ""
    return {
        key: f"{why}; {f'{ahead:,} before it' if ahead else 'it is next'}"
        for ahead, key in enumerate(order)
    }


def why_play_waits(job: Evaluation | Video) -> str:
    """Say why one evaluation or film waits; empty when it does not."""
    if job.status != JobStatus.QUEUED:
        return ""
    return why_each_waits(type(job)).get(job.pk, "")


def _why_plays_wait(kind: type[Play]) -> str:
    workers = presence.living(Path(settings.HOME))
    if words := _why_all_wait(workers):
        return words
    is_film = kind is Video
    name, setting = ("films", "VIDEO") if is_film else ("evaluations", "EVALUATION")
    places = sum(worker.films if is_film else worker.evaluations for worker in workers)
    if not places:
        return f"no worker makes {name} (RLGYM_{setting}_WORKERS is 0)"
    busy = kind._default_manager.filter(status=JobStatus.RUNNING).count()
    if busy < places:
        return "a worker takes the next one in a moment"
    if places == 1:
        return f"the one place for {name} is busy"
    return f"{busy} of {places} places for {name} are busy"


@dataclass(frozen=True, slots=True)
class PendingPlay:
    """An evaluation or a film that is not done.

    Attributes:
        kind: `evaluation` or `video`.
        id: Its number among those.
        step: Step of the checkpoint that plays.
        status: `queued` or `running`.
        waiting: Why it waits, and how many go before it; empty while it is worked on.
    """

    kind: str
    id: int
    step: int
    status: str
    waiting: str


def pending_of(run: Run) -> list[PendingPlay]:
    """Return what of a run's evaluations and films is not done, oldest first."""
    found = []
    kinds: tuple[tuple[str, type[Evaluation | Video], list[Evaluation] | list[Video]], ...] = (
        ("evaluation", Evaluation, list(run.evaluations.pending().order_by("pk"))),
        ("video", Video, list(run.videos.pending().order_by("pk"))),
    )
    for kind, model, jobs in kinds:
        words = why_each_waits(model) if jobs else {}
        found += [
            PendingPlay(kind, job.pk, job.step, job.status, words.get(job.pk, "")) for job in jobs
        ]
    return found
