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
from typing import Any

from django.conf import settings

from apps.engine import events
from apps.engine.control import StopStatus
from apps.engine.protocol import Reply
from apps.engine.rundir import read_json
from apps.engine.spec import EvalSpec, default_evaluation_seed
from apps.experiments.models import Evaluation, IllegalMove, Run, RunStatus
from apps.jobs import room
from apps.jobs.bookkeeping import LogCopier
from apps.jobs.judging import Judge
from apps.jobs.requests import Requests
from apps.jobs.trainer import Reserve, TrainerProcess
from apps.metrics.columns import keep_columns

MAX_REASON_LENGTH = 500

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
            if is_full or not Run.objects.filter(status=RunStatus.QUEUED).exists():
                return
            memory = room.look()
            run = memory.line().next_queued()
            if run is None or memory.why_not(run):
                return
            if run.claim(new_owner(), most_runs(), memory.bounds):
                supervise_run(run, reserve().take(), ring_evaluations)
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
    with trainer:
        # Before the log is read, which would forget those that are gone.
        manifests = {
            str(step): sha256 for step, sha256 in run.checkpoints.values_list("step", "sha256")
        }
        copier = LogCopier(run)
        copier.advance()  # What earlier attempts asked for is not asked again.
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
            requests.pass_on()
            if not _beat(run, copier, ring_evaluations):
                logger.warning("run %s belongs to another supervisor now", run.pk)
                return run
            keep_columns(run.directory.log)
            judge.look()
            if watch:
                watch(run)
        if _beat(run, copier, ring_evaluations):
            _finish_run(run, trainer, copier, requests)
            keep_columns(run.directory.log)
    if watch:
        watch(run)
    logger.info("run %s (%s): %s %s", run.pk, run.name, run.status, run.status_reason)
    return run


def _beat(run: Run, copier: LogCopier, ring_evaluations: Callable[[], object]) -> bool:
    columns, to_evaluate = copier.advance()
    is_mine = run.beat(**columns)
    for name, value in columns.items():
        setattr(run, name, value)
    if is_mine and to_evaluate:
        evaluated = set(run.evaluations.values_list("step", flat=True))
        for step in set(to_evaluate) - evaluated:
            spec = EvalSpec(
                n_episodes=run.spec["eval_episodes"],
                seed=default_evaluation_seed(run.spec["seed"]),
                should_film=run.spec.get("film", True),
            )
            Evaluation.objects.ask(run, step, spec)
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


def end_lost(run: Run, reason: str, **columns: Any) -> None:
    """End an attempt that vanished: as asked, or it queues again while it may go on by itself.

    Raises:
        IllegalMove: Somebody else moved it first.
    """
    status = RunStatus.LOST
    run.refresh_from_db(fields=["stop_requested_at", "stop_as"])
    if run.stop_requested_at is not None:
        status = RunStatus(run.stop_as)
        reason = f"It was asked to end, and was gone before it could save. {reason}"
    elif run.auto_resumes < settings.MAX_ATTEMPTS:
        status = RunStatus.QUEUED
        columns["auto_resumes"] = run.auto_resumes + 1
        reason += f" It goes on by itself ({run.auto_resumes + 1} of {settings.MAX_ATTEMPTS})."
    run.move_to(status, status_reason=reason[:MAX_REASON_LENGTH], **columns)
    run.directory.append(events.status(run.step, status, reason))
    logger.warning("run %s (%s) is %s: %s", run.pk, run.name, status, reason)


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
