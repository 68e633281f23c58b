"""How the machine and the queue are doing."""

import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
from django.conf import settings

from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.statuses import RunStatus
from apps.jobs import presence
from apps.jobs.verbs.waiting import training_slots


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """One look at the machine and the queue.

    Attributes:
        workers: Worker processes that live.
        slots: Runs that they train at once, together.
        queued: Runs that wait.
        running: Runs that train.
        plays_pending: Evaluations and films that wait or are worked on.
        cpu_fraction: Share of all cores in use since the last look of this process, 0 to 1.
        memory_fraction: Share of memory in use, 0 to 1.
        disk_free_bytes: Free bytes where runs are kept.
        disk_fraction: Share of that disk in use, 0 to 1.
    """

    workers: int
    slots: int
    queued: int
    running: int
    plays_pending: int
    cpu_fraction: float
    memory_fraction: float
    disk_free_bytes: int
    disk_fraction: float

    @property
    def is_worker_missing(self) -> bool:
        """Whether nobody is there to do the work."""
        return self.workers == 0


class Cores:
    """What share of the cores is in use, for whichever thread asks.

    psutil's own percentages are kept for each thread: one that asks for the first time is told 0.
    """

    MIN_INTERVAL_S = 1.0  # The system counts in hundredths of a second.

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seen = psutil.cpu_times()
        self._seen_at = time.monotonic()
        self._fraction = 0.0

    def busy_fraction(self) -> float:
        """Return the share that was in use since the last look, 0 to 1."""
        with self._lock:
            if time.monotonic() - self._seen_at >= self.MIN_INTERVAL_S:
                now = psutil.cpu_times()
                passed = [after - before for after, before in zip(now, self._seen, strict=True)]
                idle = now.idle - self._seen.idle
                self._fraction = min(max(1 - idle / (sum(passed) or 1), 0), 1)
                self._seen, self._seen_at = now, time.monotonic()
            return self._fraction


_cores = Cores()


def status() -> SystemStatus:
    """Look once; costs no waiting."""
    disk = shutil.disk_usage(settings.MEDIA_ROOT)
    workers = presence.living(Path(settings.HOME))
    return SystemStatus(
        workers=len(workers),
        slots=training_slots(workers),
        queued=Run.objects.filter(status=RunStatus.QUEUED).count(),
        running=Run.objects.filter(status=RunStatus.RUNNING).count(),
        plays_pending=Evaluation.objects.pending().count() + Video.objects.pending().count(),
        cpu_fraction=_cores.busy_fraction(),
        memory_fraction=psutil.virtual_memory().percent / 100,
        disk_free_bytes=disk.free,
        disk_fraction=disk.used / disk.total,
    )
