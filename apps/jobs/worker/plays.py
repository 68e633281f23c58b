"""Supervisors of evaluations and films: each owns one process from its claim to its end.

Each kind has places of its own in a worker, so that neither takes those of training or of the
other: a film that takes an hour holds up no figure. What is asked of a row (to end, because
somebody cancelled it, deleted its run, or took it over) is seen at the next beat, and the process
is asked to end before it is forced.
"""

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import TypeVar

from django.conf import settings
from django.db import transaction

from apps.experiments.models import Evaluation, Video
from apps.experiments.models.plays import PlayQuerySet
from apps.experiments.statuses import JobStatus
from apps.jobs import leftovers, room, rows
from apps.jobs.endings import settled, wait_or_fail
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.worker.supervisor import new_owner, refill_reserve, reserve, shutdown
from apps.protocol import messages
from apps.protocol.messages import Reply

Job = TypeVar("Job", Evaluation, Video)

# A process ends itself when its time is up. One that does not, since a step or a picture of it
# never comes back, is ended so much later.
GRACE_S = 15.0

logger = logging.getLogger(__name__)


@cache
def evaluation_places() -> threading.BoundedSemaphore:
    """Return the places that bound how many evaluations this process carries out at once."""
    return threading.BoundedSemaphore(settings.EVALUATION_WORKERS)


@cache
def film_places() -> threading.BoundedSemaphore:
    """Return the places that bound how many films this process makes at once."""
    return threading.BoundedSemaphore(settings.VIDEO_WORKERS)


def evaluate_queued(ring_films: Callable[[], object]) -> None:
    """Evaluate what is queued, in turn, until nothing waits or every place is taken."""

    def work(evaluation: Evaluation) -> None:
        supervise_evaluation(evaluation, reserve().take())
        ring_films()

    _work_through(Evaluation.objects.all(), evaluation_places(), work)


def film_queued() -> None:
    """Film what is queued, in turn, until nothing waits or every place is taken."""

    def work(video: Video) -> None:
        supervise_film(video, TrainerProcess(*TRAINER))  # The warm one is for who waits for it.

    _work_through(Video.objects.all(), film_places(), work)


def _work_through(
    jobs: PlayQuerySet[Job], places: threading.Semaphore, work: Callable[[Job], None]
) -> None:
    while not shutdown.is_set() and places.acquire(blocking=False):
        try:
            if room.why_no_disk():
                return
            job = jobs.next_queued()
            if job is None:
                return
            if job.claim(new_owner()):
                with settled(job):
                    work(job)
                if job.status == JobStatus.QUEUED:
                    return  # It waits for something: the watchdog rings for it in a moment.
        finally:
            places.release()


def supervise_evaluation(evaluation: Evaluation, trainer: TrainerProcess) -> Evaluation:
    """Carry out a claimed evaluation; on shutdown it goes back to the queue."""
    name = evaluation.name or datetime.now(UTC).strftime("eval_%Y%m%dT%H%M%S%fZ")
    evaluation.name = name
    with trainer:
        # Named before there is a file, so that what a kill leaves of it can be told and removed.
        if evaluation.beat(name=name):
            limit_s = settings.EVALUATION_LIMIT_S
            trainer.send(
                {
                    "job": "evaluate",
                    "directory": str(evaluation.run.directory.path),
                    "step": evaluation.step,
                    "name": name,
                    "spec": evaluation.spec().as_dict(),
                    "manifest": _manifest_of(evaluation),
                    "limit_s": limit_s,
                }
            )
            refill_reserve()
            reply = _watch(evaluation, trainer, limit_s)
            trainer.kill()
            if reply is not None:
                _finish_evaluation(evaluation, reply)
    _clear(evaluation)
    if evaluation.status == JobStatus.CANCELLED:
        (evaluation.run.directory.evaluations / f"{name}.json").unlink(missing_ok=True)
    return evaluation


def supervise_film(video: Video, trainer: TrainerProcess) -> Video:
    """Make a claimed film of an evaluation; on shutdown it goes back to the queue."""
    evaluation = video.evaluation
    assert evaluation is not None  # What was sent by a script is never queued.
    with trainer:
        trainer.send(_film_job(evaluation))
        reply = _watch(video, trainer, settings.VIDEO_LIMIT_S)
        trainer.kill()
        if reply is not None:
            _finish_film(video, evaluation, reply)
    _clear(video)
    if video.status == JobStatus.CANCELLED:
        rows.withdraw_film(video)
    return video


def _clear(job: Evaluation | Video) -> None:
    """Remove what is half-written, unless another supervisor has taken the job over and writes."""
    if job.status != JobStatus.RUNNING:
        leftovers.clear_of(job.run.directory, job.file_name)


def _film_job(evaluation: Evaluation) -> messages.FilmJob:
    return {
        "job": "film",
        "directory": str(evaluation.run.directory.path),
        "name": evaluation.name,
        "manifest": _manifest_of(evaluation),
        "n_episodes": settings.VIDEO_EPISODES,
        "duration_s": settings.VIDEO_SECONDS,
        "limit_s": settings.VIDEO_LIMIT_S,
    }


def _manifest_of(evaluation: Evaluation) -> str:
    recorded = evaluation.run.checkpoints.filter(step=evaluation.step)
    return recorded.values_list("sha256", flat=True).first() or ""


def _watch(job: Evaluation | Video, trainer: TrainerProcess, limit_s: float) -> Reply | None:
    """Beat until the process has ended or must, and return its word; None: it is not ours."""
    must_end_at = time.monotonic() + limit_s + GRACE_S
    while not trainer.wait(settings.HEARTBEAT_S):
        if not job.beat():
            job.learn_status()
            return None
        if shutdown.is_set():
            job.requeue()
            return None
        if not job.run.directory.path.is_dir():
            return {"reply": "refused", "message": "the directory of its run is gone"}
        if time.monotonic() > must_end_at:
            message = f"it did not end within {limit_s:,} s and was forced to"
            return {"reply": "refused", "message": message}
    return trainer.reply()


def _came_to_nothing(job: Evaluation | Video, reply: Reply) -> None:
    error = reply.get("traceback") or reply.get("message", "")
    # An encoder does not say that the disk is full: it stops.
    wait_or_fail(job, error, reply.get("may_pass", False) or bool(room.why_no_disk()))


def _finish_evaluation(evaluation: Evaluation, reply: Reply) -> None:
    if reply["reply"] != "done":
        _came_to_nothing(evaluation, reply)
        return
    columns = rows.result_columns(reply["result"])
    with transaction.atomic():  # Who is killed in between owes the film all the same.
        if not evaluation.finish(JobStatus.COMPLETED, **columns):
            return
        if evaluation.should_film:
            Video.objects.owe(evaluation)
        rows.update_evaluation_summary(evaluation.run)


def _finish_film(video: Video, evaluation: Evaluation, reply: Reply) -> None:
    if reply["reply"] != "done":
        _came_to_nothing(video, reply)
    elif video.finish(JobStatus.COMPLETED, **rows.film_columns(reply["result"])):
        rows.note_film(evaluation, reply["result"])
