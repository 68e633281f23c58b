"""What a killed evaluation or filming leaves half-written, and its removal.

Half-written files begin with a dot and the name of what they were to become; nobody reads them.
"""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from apps.experiments.models import Evaluation, Video
from apps.experiments.statuses import JobStatus
from apps.jobs.verbs.reindex import run_directories
from apps.rundir.directory import RunDirectory

# An upload that a web server still receives is younger.
ABANDONED_AFTER_S = 3600.0

logger = logging.getLogger(__name__)


def clear_of(directory: RunDirectory, name: str) -> None:
    """Remove what was half-written of one evaluation, or of its film."""
    if name:
        _remove(directory.evaluations.glob(f".{name}.*"))


def clear_in(directory: RunDirectory) -> None:
    """Remove what was half-written of a run's evaluations, none of which is worked on."""
    _remove(directory.evaluations.glob(".*"))


def sweep() -> int:
    """Remove what nobody writes any more, in every run directory; called as a worker starts.

    Returns:
        How many files there were.
    """
    began_at = time.time()
    running = {"status": JobStatus.RUNNING}
    busy = {
        *Evaluation.objects.filter(**running).values_list("run_id", "name"),
        *Video.objects.filter(**running).values_list("run_id", "evaluation__name"),
    }
    long_ago = began_at - ABANDONED_AFTER_S
    found = 0
    for directory in run_directories():
        # What is younger than this look is of a job that another worker has begun meanwhile.
        halves = (p for p in directory.evaluations.glob(".*") if _changed_at(p) < began_at)
        mine = {name for run_id, name in busy if run_id == directory.name}
        found += _remove(p for p in halves if p.name.split(".")[1] not in mine)
        uploads = directory.films.glob(".*.tmp*")
        found += _remove(p for p in uploads if _changed_at(p) < long_ago)
    if found:
        logger.info("removed %s half-written files of evaluations and films", found)
    return found


def _remove(paths: Iterable[Path]) -> int:
    count = 0
    for path in paths:
        path.unlink(missing_ok=True)
        count += 1
    return count


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
