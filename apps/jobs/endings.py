"""How a run ends that nobody could bring to its end, and what becomes of trouble about one row.

Trouble with one run's files concerns that run alone: it fails with the true reason. Where waiting
may mend it (a full disk, no process to be had) the run goes back into the queue, and a database
that cannot be used now leaves the row to the watchdog, which looks again.
"""

import errno
import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import DatabaseError, DataError, IntegrityError

from apps.errors import DiskFull, EngineError, RunDirectoryError
from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.statuses import IllegalMove, JobStatus, RunStatus
from apps.jobs import rows
from apps.jobs.rows import LogCopier
from apps.rundir import events
from apps.rundir.files import FULL_DISK_ERRORS
from apps.text import names

MAX_REASON_LENGTH = names.LIMITS["reason"]
MAX_PLAY_ATTEMPTS = 3
# What may go wrong about one row without being a fault of this program.
TROUBLES = (OSError, DatabaseError, EngineError)
# No process, no memory, no open file to be had at this moment.
SHORTAGES = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE})

GONE_UNSAVED = "It was asked to end, and was gone before it could save."
# What a worker carries out.
Row = Run | Evaluation | Video

logger = logging.getLogger(__name__)


def end_gone(run: Run, reason: str, goes_on: bool = True) -> None:
    """End a run whose process is gone: as its log says that it ended, else as `end_lost`.

    Raises:
        RunDirectoryError: Its directory is gone.
        IllegalMove: Somebody else moved it first.
    """
    refuse_gone(run)
    copier = LogCopier(run)
    columns, to_evaluate = copier.advance()
    rows.ask_owed(run, to_evaluate)
    said = copier.summary.status
    if said in rows.FINAL_STATUSES - {RunStatus.LOST}:
        told = copier.summary.reason[:MAX_REASON_LENGTH]
        run.move_to(RunStatus(said), status_reason=told, **columns)
    else:
        end_lost(run, reason, goes_on, **columns)


def end_lost(run: Run, reason: str, goes_on: bool = True, **columns: Any) -> None:
    """End an attempt that vanished: as asked, or it queues again while it may go on by itself.

    Raises:
        IllegalMove: Somebody else moved it first.
    """
    if _was_asked_to_end(run):
        _end(run, RunStatus(run.stop_as), f"{GONE_UNSAVED} {reason}", **columns)
    elif goes_on and run.auto_resumes < settings.MAX_ATTEMPTS:
        columns["auto_resumes"] = run.auto_resumes + 1
        reason += f" It goes on by itself ({run.auto_resumes + 1} of {settings.MAX_ATTEMPTS})."
        _end(run, RunStatus.QUEUED, reason, **columns)
    else:
        _end(run, RunStatus.LOST, reason, **columns)


def wait(run: Run, reason: str) -> None:
    """End an attempt that waiting may mend: the run queues again, and none of its tries is used.

    Raises:
        IllegalMove: Somebody else moved it first.
    """
    if _was_asked_to_end(run):
        _end(run, RunStatus(run.stop_as), f"{GONE_UNSAVED} {reason}")
    else:
        _end(run, RunStatus.QUEUED, f"{reason} It goes on by itself once that has passed.")


def _was_asked_to_end(run: Run) -> bool:
    run.refresh_from_db(fields=["stop_requested_at", "stop_as"])
    return run.stop_requested_at is not None


def _end(run: Run, status: RunStatus, reason: str, **columns: Any) -> None:
    run.move_to(status, status_reason=reason[:MAX_REASON_LENGTH], **columns)
    tell_log(run, status, reason)
    logger.warning("run %s (%s) is %s: %s", run.pk, run.name, status, reason)


def refuse_gone(run: Run) -> None:
    """Refuse a run whose directory is not there any more.

    Raises:
        RunDirectoryError: It is gone.
    """
    if not run.directory.path.is_dir():
        raise RunDirectoryError(f"its run directory {run.directory.path} is gone")


@contextmanager
def settled(row: Row) -> Iterator[None]:
    """Let trouble in the block end this row alone; put it around whatever supervises one."""
    try:
        yield
    except TROUBLES as error:
        settle(row, error)


def settle(row: Row, error: Exception) -> None:
    """Settle what becomes of a running row about which something went wrong."""
    try:
        is_about_row = isinstance(error, DataError | IntegrityError)
        if isinstance(error, DatabaseError) and not is_about_row:
            raise error  # Nothing can be written about it now.
        if isinstance(row, Run):
            _settle_run(row, error)
        else:
            _settle_play(row, error)
    except IllegalMove:
        logger.warning("%s was ended by somebody else as %s", _name(row), row.status)
    except DatabaseError as unusable:
        logger.warning("%s waits for the database: %s", _name(row), unusable)


def _settle_run(run: Run, error: Exception) -> None:
    try:
        refuse_gone(run)
    except (OSError, RunDirectoryError) as gone:
        error = gone
    else:
        if may_pass(error):
            wait(run, f"{in_words(error)}.")
            return
    reason = in_words(error)[:MAX_REASON_LENGTH]
    told = "".join(traceback.format_exception(error))
    run.move_to(RunStatus.FAILED, status_reason=reason, error=told)
    tell_log(run, RunStatus.FAILED, reason)
    logger.warning("run %s (%s) failed: %s", run.pk, run.name, reason)


def _settle_play(job: Evaluation | Video, error: Exception) -> None:
    wait_or_fail(job, in_words(error), may_pass(error))
    logger.warning("%s is %s: %s", _name(job), job.status, in_words(error))


def wait_or_fail(job: Evaluation | Video, error: str, is_passing: bool) -> None:
    """Give a job back to the queue where waiting may mend what went wrong; else it has failed."""
    if is_passing and job.attempt < MAX_PLAY_ATTEMPTS:
        job.requeue()
    else:
        fail(job, error)


def fail(job: Evaluation | Video, error: str) -> None:
    """End a job that came to nothing, and keep why with the evaluation whose film it is."""
    if job.finish(JobStatus.FAILED, error=error):
        logger.warning("%s failed: %s", job, job.why)
        if isinstance(job, Video) and job.evaluation is not None:
            rows.note_no_film(job.evaluation, job.why)


def _name(row: Row) -> str:
    return f"{type(row).__name__.lower()} {row.pk}"  # Its words may need the database.


def may_pass(error: Exception) -> bool:
    """Whether waiting may mend what went wrong: a full disk, or no process to be had."""
    if isinstance(error, OSError):
        return error.errno in FULL_DISK_ERRORS | SHORTAGES
    return isinstance(error, DiskFull)


def in_words(error: Exception) -> str:
    """Say what went wrong, as the reason of a run that ends by it."""
    if isinstance(error, OSError) and error.errno in FULL_DISK_ERRORS:
        return f"the disk is full: {error}"
    return str(error) if isinstance(error, EngineError) else f"{type(error).__name__}: {error}"


def tell_log(run: Run, status: RunStatus, reason: str) -> None:
    """Write how a run ended into its log, where there still is one that takes it."""
    try:
        if run.directory.path.is_dir():
            run.directory.append(events.status(run.step, status, reason))
    except (OSError, EngineError) as error:
        logger.warning("the log of run %s does not say that it is %s: %s", run.pk, status, error)
