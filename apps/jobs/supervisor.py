"""Supervisors: each owns one trainer process from its claim to its end.

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
from datetime import UTC, datetime
from functools import cache

from django.conf import settings
from django.db import OperationalError, transaction

from apps.engine import events
from apps.engine.control import StopStatus
from apps.engine.protocol import Reply
from apps.engine.rundir import read_json
from apps.experiments.models import Evaluation, IllegalMove, JobStatus, Run, RunStatus
from apps.jobs import bookkeeping, room
from apps.jobs.bookkeeping import LogCopier
from apps.jobs.endings import MAX_REASON_LENGTH, end_lost, refuse_gone, settled
from apps.jobs.judging import Judge
from apps.jobs.requests import FORCE_AFTER_S, Requests
from apps.jobs.trainer import Reserve, TrainerProcess
from apps.metrics.columns import keep_columns

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


def new_owner() -> str:
    """Return a name for a supervisor that is unlike any other's, and tells host and process."""
    return f"{socket.gethostname()}:{os.getpid()}:{secrets.token_hex(4)}"


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
                with settled(run):  # No trainer to be had is this run's trouble, too.
                    supervise_run(run, reserve().take(), ring_evaluations)
        finally:
            slots.release()


def evaluate_queued() -> None:
    """Evaluate what is queued, oldest first, until nothing waits."""
    while not shutdown.is_set() and not room.why_no_disk():
        evaluation = Evaluation.objects.next_queued()
        if evaluation is None:
            return
        if evaluation.claim(new_owner()):
            with settled(evaluation):
                supervise_evaluation(evaluation, reserve().take())


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
        copier = LogCopier(run)
        copier.advance()
        manifests = {
            str(step): sha256 for step, sha256 in run.checkpoints.values_list("step", "sha256")
        }
        trainer.send(
            {
                "job": "train",
                "directory": str(run.directory.path),
                "keep_checkpoints": settings.KEEP_CHECKPOINTS,
                "command": str(read_json(run.directory.record).get("command", "")),
                "attempt": run.attempt,
                "manifests": manifests,
                "threads": room.threads_for(run, most_runs()),
            }
        )
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
            _finish_run(run, trainer, copier, requests.was_forced)
            keep_columns(run.directory.log)
    if watch:
        watch(run)
    logger.info("run %s (%s): %s %s", run.pk, run.name, run.status, run.status_reason)
    return run


def supervise_evaluation(evaluation: Evaluation, trainer: TrainerProcess) -> Evaluation:
    """Carry out a claimed evaluation; on shutdown it goes back to the queue."""
    run = evaluation.run
    name = datetime.now(UTC).strftime("eval_%Y%m%dT%H%M%S%fZ")
    recorded = run.checkpoints.filter(step=evaluation.step)
    manifest = recorded.values_list("sha256", flat=True).first()
    with settled(evaluation), trainer:
        trainer.send(
            {
                "job": "evaluate",
                "directory": str(run.directory.path),
                "step": evaluation.step,
                "name": name,
                "spec": evaluation.spec().as_dict(),
                "manifest": manifest or "",
            }
        )
        refill_reserve()
        while not trainer.wait(settings.HEARTBEAT_S):
            if not evaluation.beat():
                return evaluation
            if shutdown.is_set():
                evaluation.requeue()
                return evaluation
        _finish_evaluation(evaluation, trainer.reply())
    return evaluation


def _beat(run: Run, copier: LogCopier, ring_evaluations: Callable[[], object]) -> bool:
    columns, to_evaluate = copier.advance()
    is_mine = run.beat(**columns)
    for name, value in columns.items():
        setattr(run, name, value)
    if is_mine and bookkeeping.ask_owed(run, to_evaluate):
        ring_evaluations()
    return is_mine


def _finish_run(run: Run, trainer: TrainerProcess, copier: LogCopier, was_forced: bool) -> None:
    reply = trainer.reply()
    status, reason = _ending(reply, trainer.was_killed, was_forced)
    if copier.summary.status == RunStatus.RUNNING and status != RunStatus.LOST:
        # The trainer had no chance to write its last line.
        run.directory.append(events.status(run.step, status, reason))
    try:
        if status == RunStatus.LOST:
            end_lost(run, reason)
        else:
            run.move_to(
                status, status_reason=reason[:MAX_REASON_LENGTH], error=reply.get("traceback", "")
            )
    except IllegalMove:
        logger.warning("run %s was ended by somebody else as %s", run.pk, run.status)


def _ending(reply: Reply, was_killed: bool, was_forced: bool) -> tuple[RunStatus, str]:
    if reply["reply"] == "done":
        result = reply["result"]
        return RunStatus(result["status"]), str(result["reason"])
    if was_forced:
        return RunStatus.STOPPED, f"It did not stop within {FORCE_AFTER_S:.0f} s and was forced."
    message = reply.get("message", "")
    if was_killed:
        return RunStatus.LOST, message
    return RunStatus.FAILED, message


def _finish_evaluation(evaluation: Evaluation, reply: Reply) -> None:
    if reply["reply"] != "done":
        error = reply.get("traceback") or reply.get("message", "")
        evaluation.finish(JobStatus.FAILED, error=error)
        logger.warning("%s failed: %s", evaluation, reply.get("message", ""))
        return
    result = reply["result"]
    with transaction.atomic():  # What follows from it is not lost with a worker that dies here.
        if evaluation.finish(JobStatus.COMPLETED, **bookkeeping.result_columns(result)):
            bookkeeping.record_film(evaluation, result)
            bookkeeping.update_evaluation_summary(evaluation.run)
