"""Supervisors of runs: each owns one trainer process from its claim to its end.

A supervisor claims a row, hands the job to a trainer, beats, copies the log into rows, passes a
stop on, and writes how it ended. Every write names the attempt it claimed; when one changes
nothing, the row belongs to somebody else and the trainer is ended. Training never waits for any
of it.
"""

import logging
import os
import secrets
import socket
import threading
from collections.abc import Callable
from functools import cache

from django.conf import settings
from django.db import OperationalError

from apps.experiments.models import Run
from apps.experiments.statuses import IllegalMove, RunStatus
from apps.jobs import room, rows
from apps.jobs.endings import MAX_REASON_LENGTH, end_lost, refuse_gone, settled, wait
from apps.jobs.rows import LogCopier
from apps.jobs.trainers import Reserve, TrainerProcess
from apps.jobs.worker.early_stop import Judge
from apps.jobs.worker.requests import Requests
from apps.metrics.columns import keep_columns
from apps.protocol import messages
from apps.protocol.messages import Reply, StopStatus
from apps.rundir import events
from apps.rundir.files import read_json

logger = logging.getLogger(__name__)

# Set when this process is asked to end; supervisors then ask their trainers.
shutdown = threading.Event()

Watch = Callable[[Run], None]


@cache
def reserve() -> Reserve:
    """Return this process's warm trainer in reserve."""
    return Reserve(settings.WARM_TRAINER)


@cache
def training_slots() -> threading.BoundedSemaphore:
    """Return the slots that bound how many runs this process trains at once."""
    return threading.BoundedSemaphore(settings.WORKERS)


def new_owner(kind: str = "worker") -> str:
    """Return a name for a supervisor that is unlike any other's: host, process, kind."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}:{kind}"


def refill_reserve() -> None:
    """Have a trainer wait for the next job: warm for a click, quickly there while runs wait."""
    reserve().fill(should_warm=not Run.objects.filter(status=RunStatus.QUEUED).exists())


def most_runs() -> int:
    """Return how many runs this process lets its machine train at once."""
    return settings.MAX_RUNS or settings.WORKERS


def train_queued(ring_evaluations: Callable[[], object]) -> None:
    """Train queued runs in turn, until none waits or slots or memory are taken, here or by others.

    Memory is looked at anew for each run; see `room` for whose turn it is when it is short.
    """
    slots = training_slots()
    while not shutdown.is_set() and slots.acquire(blocking=False):
        try:
            is_full = Run.objects.running_on(socket.gethostname()).count() >= most_runs()
            if (
                is_full
                or room.why_no_disk()
                or not Run.objects.filter(status=RunStatus.QUEUED).exists()
            ):
                return
            memory = room.look()
            run = memory.line().next_queued()
            if run is None or memory.why_not(run):
                return
            if run.claim(new_owner(), most_runs(), memory.bounds):
                tries = run.auto_resumes
                with settled(run):  # No trainer to be had is this run's trouble, too.
                    supervise_run(run, reserve().take(), ring_evaluations)
                if run.status == RunStatus.QUEUED and run.auto_resumes == tries:
                    return  # It waits for something: the watchdog rings for it in a moment.
        finally:
            slots.release()


def supervise_run(
    run: Run,
    trainer: TrainerProcess,
    ring_evaluations: Callable[[], object],
    watch: Watch | None = None,
    shutdown_status: StopStatus = "queued",
) -> Run:
    """Train a claimed run to its end, from its latest checkpoint if it has one.

    Args:
        run: A run that `claim` succeeded on.
        trainer: A trainer without a job.
        ring_evaluations: Called when an evaluation has been asked for.
        watch: Called after each beat with the refreshed run, for a progress bar.
        shutdown_status: What the run becomes when this process is asked to end: `queued` lets it
            go on with the next worker.
    """
    logger.info("run %s (%s): training, attempt %s", run.pk, run.name, run.attempt)
    with settled(run), trainer:
        refuse_gone(run)
        # Before the log is read, which would forget those that are gone.
        manifests = dict(run.checkpoints.values_list("step", "sha256"))
        copier = LogCopier(run)
        copier.advance()  # What earlier attempts asked for is not asked again.
        trainer.send(_train_job(run, manifests))
        refill_reserve()
        judge = Judge(run, copier.summary)
        requests = Requests(run, trainer, copier, shutdown, shutdown_status)
        while not trainer.wait(settings.HEARTBEAT_S):
            refuse_gone(run)
            try:
                requests.pass_on()
                if not _beat(run, copier, ring_evaluations):
                    logger.warning("run %s belongs to another supervisor now", run.pk)
                    return run
                judge.look()
            except OperationalError as error:  # Training never waits for the database.
                logger.warning("run %s trains on without its rows: %s", run.pk, error)
                continue
            keep_columns(run.directory.log)
            if watch:
                watch(run)
        if _beat(run, copier, ring_evaluations):
            _finish_run(run, trainer, copier, requests)
            keep_columns(run.directory.log)
    if watch:
        watch(run)
    said = f"{run.status} {run.status_reason}".rstrip()
    logger.info("run %s (%s): %s", run.pk, run.name, said)
    return run


def _train_job(run: Run, manifests: dict[int, str]) -> messages.TrainJob:
    return {
        "job": "train",
        "directory": str(run.directory.path),
        "keep_checkpoints": settings.KEEP_CHECKPOINTS,
        "command": str(read_json(run.directory.record).get("command", "")),
        "attempt": run.attempt,
        "manifests": {str(step): sha256 for step, sha256 in manifests.items()},
        "threads": room.threads_for(run, most_runs()),
    }


def _beat(run: Run, copier: LogCopier, ring_evaluations: Callable[[], object]) -> bool:
    columns, to_evaluate = copier.advance()
    is_mine = run.beat(**columns)
    for name, value in columns.items():
        setattr(run, name, value)
    if is_mine and rows.ask_owed(run, to_evaluate):
        ring_evaluations()
    return is_mine


def _finish_run(run: Run, trainer: TrainerProcess, copier: LogCopier, requests: Requests) -> None:
    reply = trainer.reply()
    status, reason = _ending(reply, trainer.was_killed)
    if requests.forced_as and reply["reply"] != "done":
        status = RunStatus(requests.forced_as)
        reason = f"{requests.forced_reason} {_goes_on_from(run)}"
    elif trainer.left_by_itself:
        # The lines of its last fifth of a second went with it.
        reason += f" It had begun, and its log ends at step {run.step:,}; see train.log."
    is_told_later = status == RunStatus.LOST or reply.get("may_pass")
    if copier.summary.status == RunStatus.RUNNING and not is_told_later:
        # The trainer had no chance to write its last line.
        run.directory.append(events.status(run.step, status, reason))
    try:
        if reply.get("may_pass"):
            wait(run, reason)
        elif status == RunStatus.LOST:
            end_lost(run, reason)
        else:
            run.move_to(
                status, status_reason=reason[:MAX_REASON_LENGTH], error=reply.get("traceback", "")
            )
    except IllegalMove:
        logger.warning("run %s was ended by somebody else as %s", run.pk, run.status)


def _goes_on_from(run: Run) -> str:
    """Say where a run that could not save any more would go on."""
    last = run.checkpoints.order_by("step").last()
    if last is None:
        return "It had no checkpoint yet: retry begins anew."
    return f"It goes on from its checkpoint of step {last.step}."


def _ending(reply: Reply, was_killed: bool) -> tuple[RunStatus, str]:
    if reply["reply"] == "done":
        result = reply["result"]
        return RunStatus(result["status"]), str(result["reason"])
    message = reply.get("message", "")
    if was_killed:
        return RunStatus.LOST, message
    return RunStatus.FAILED, message
