"""Runs that say they run while their process is gone: put right by whoever is asked about them.

Where a worker lives its watchdog does that within a second. A run that was trained in a terminal
often has none, so the verbs and the commands look for themselves: the lock of a run directory is
free once whoever trained in it is gone. Every decision is a compare-and-set.
"""

import time
from contextlib import suppress
from pathlib import Path

import psutil
from django.conf import settings

from apps.experiments.models import Run
from apps.experiments.statuses import IllegalMove, RunStatus
from apps.jobs import endings, presence

# A trainer whose supervisor is gone saves and leaves within three seconds.
PATIENCE_S = 5.0
POLL_S = 0.05
WORDS = "Its terminal or worker vanished; `resume` goes on from its latest checkpoint."


def settle(run: Run, patience_s: float = PATIENCE_S) -> Run:
    """Put a run right whose process is gone: as its log says that it ended, as asked, or lost.

    Args:
        run: Any run; one that is not running, or whose process lives, stays as it is.
        patience_s: How long to wait for a trainer that is just saving.
    """
    if is_gone(run, patience_s):
        _put_right(run, goes_on=False)
    return run


def settle_all() -> None:
    """Put every run right whose process is gone, where no worker lives to do it.

    What a worker trained waits for the next one, as a watchdog would decide; what a terminal
    trained is lost until somebody resumes it.
    """
    if presence.living(Path(settings.HOME)):
        return
    for run in Run.objects.filter(status=RunStatus.RUNNING):
        if is_gone(run):
            _put_right(run, goes_on=not run.is_in_terminal)


def is_gone(run: Run, patience_s: float = 0.0) -> bool:
    """Whether a run says that it runs, and neither its supervisor nor its trainer lives."""
    if run.status != RunStatus.RUNNING or run.is_logged:
        return False
    if not _is_owner_gone(run):
        return False
    deadline = time.monotonic() + patience_s
    while run.directory.lock_holder() is not None:
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def _is_owner_gone(run: Run) -> bool:
    if run.is_on_this_host:
        try:
            if psutil.Process(run.owner_pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
    # Another machine, or another process with the number of one that died: its silence tells.
    return run.is_silent


def _put_right(run: Run, goes_on: bool) -> None:
    with endings.settled(run), suppress(IllegalMove):  # Somebody else may be first.
        endings.end_gone(run, "Its worker vanished." if goes_on else WORDS, goes_on)
