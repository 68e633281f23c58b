"""The watchdog: rings for what waits, decides about what is silent.

It judges a beat by its own monotonic clock, so a jump of the wall clock changes nothing. Any
number of watchdogs may run: every decision is a compare-and-set. Each row is judged by itself:
what goes wrong about one run concerns that run alone.
"""

import logging
import os
import signal
import time
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.models.leases import Leased
from apps.experiments.statuses import IllegalMove, JobStatus, RunStatus
from apps.jobs import endings, leftovers, tasks
from apps.jobs.endings import MAX_PLAY_ATTEMPTS
from apps.jobs.verbs import life, logged
from apps.metrics.columns import keep_columns
from apps.rundir.directory import RunDirectory

RING_INTERVAL_S = 2.0

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Watchdog:
    """Remembers when it saw each lease move last."""

    _seen: dict[tuple[str, object], tuple[tuple[str, int, int], float]] = field(
        default_factory=dict
    )
    _rang_at: float = float("-inf")

    def tick(self) -> None:
        """Look once; call about once a second."""
        now = time.monotonic()
        if now - self._rang_at >= RING_INTERVAL_S:
            self._rang_at = now
            life.ring_queued()
        rows: list[endings.Row] = [
            *Run.objects.filter(status=RunStatus.RUNNING),
            *Evaluation.objects.filter(status=JobStatus.RUNNING),
            *Video.objects.filter(status=JobStatus.RUNNING).select_related("evaluation"),
        ]
        for row in rows:
            tasks.look_after(row, partial(self._judge, row, now))
        present = {(type(row).__name__, row.pk) for row in rows}
        self._seen = {key: seen for key, seen in self._seen.items() if key in present}

    def _judge(self, row: endings.Row, now: float) -> None:
        if isinstance(row, Run) and row.is_logged:  # What is trained here has a supervisor for it.
            keep_columns(row.directory.log)
        if not self._is_dead(row, now):
            return
        if isinstance(row, Run):
            decide_run(row)
        else:
            decide_play(row)

    def _is_dead(self, row: Leased, now: float) -> bool:
        if row.is_on_this_host and not is_alive(row.owner_pid):
            return True
        key = (type(row).__name__, row.pk)
        lease = (row.owner, row.attempt, row.beats)
        if key not in self._seen or self._seen[key][0] != lease:
            self._seen[key] = (lease, now)
        return now - self._seen[key][1] > row.lease_s


def is_alive(pid: int) -> bool:
    """Whether a process of this machine lives."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def decide_run(run: Run) -> None:
    """Settle a run whose supervisor is gone: what its log says it ended as, else it goes on.

    A script outside is nobody's to start again: its run is given up until it says something.
    """
    if run.is_logged:
        is_gone = run.is_on_this_host and not is_alive(run.owner_pid)
        silence = f"Its script was silent for {run.lease_s:.0f} s."
        logged.give_up(run, "Its script's process is gone." if is_gone else silence)
        return
    _end_trainer(run.directory)
    with suppress(IllegalMove):  # Another watchdog was first, or the run has ended.
        endings.end_gone(run, "Its worker vanished.")


def decide_play(job: Evaluation | Video) -> None:
    """Queue an evaluation or film again whose supervisor is gone; after three it has failed."""
    leftovers.clear_of(job.run.directory, job.file_name)
    if job.attempt < MAX_PLAY_ATTEMPTS:
        job.requeue()
    else:
        endings.fail(job, "Its worker vanished three times.")


def _end_trainer(directory: RunDirectory) -> None:
    """End a trainer whose supervisor is gone, should it still hold the run's lock."""
    holder = directory.lock_holder()
    if holder:
        try:
            os.killpg(holder, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            logger.warning("trainer %s of run %s could not be ended", holder, directory.name)
