"""The verbs of a user about a run's life: queue, launch, stop, pause, save.

`lineage` has those that go on from a run, `batches` those about many, `records` those about names,
experiments and the trash. Every face calls these. A verb checks, changes files first and rows
after them, and rings the queue once the rows are committed. Refusals are `InvalidSpec`,
`IllegalMove` and `Refused`.
"""

from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.errors import FieldError, InvalidSpec
from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.statuses import IllegalMove, JobStatus, RunStatus
from apps.experiments.turns import PRIORITY_BOUNDS
from apps.jobs.drafts import Origin, create
from apps.jobs.tasks import work_on_evaluations, work_on_films, work_on_runs
from apps.jobs.verbs import vanished
from apps.jobs.verbs.naming import UNNAMED, Naming
from apps.jobs.verbs.refusals import Refused, refuse_logged
from apps.rundir import events
from apps.rundir.files import read_json, write_json
from apps.spec.run import RunSpec
from apps.spec.schema import check_numbers
from apps.text import names


def queue(run: Run) -> Run:
    """Queue a draft and ring for it.

    Raises:
        IllegalMove: It is not a draft.
    """
    enqueue(run)
    transaction.on_commit(work_on_runs)
    return run


def enqueue(run: Run) -> Run:
    """Queue a draft; whoever queues several rings when all of them wait.

    Raises:
        IllegalMove: It is not a draft.
    """
    if run.status != RunStatus.DRAFT:
        raise IllegalMove(run.status, RunStatus.QUEUED, run.legal_moves())
    # The line first: once the row says queued, a trainer may write its own.
    run.directory.append(events.status(run.step, RunStatus.QUEUED))
    run.move_to(RunStatus.QUEUED)
    return run


def launch(spec: RunSpec, naming: Naming = UNNAMED, origin: Origin | None = None) -> Run:
    """Make a run and queue it."""
    return queue(create(spec, naming, origin))


def check_priority(value: Any) -> int:
    """Return a priority as a number; text is read.

    Raises:
        InvalidSpec: It is no whole number within its bounds.
    """
    values, errors = {"priority": value}, list[FieldError]()
    check_numbers(values, {"priority": PRIORITY_BOUNDS}, errors)
    if errors:
        raise InvalidSpec(errors)
    return int(values["priority"])


def set_priority(run: Run, value: Any) -> Run:
    """Give a run that waits another priority, in its directory and its row.

    Raises:
        InvalidSpec: It is no whole number within its bounds.
        Refused: The run does not wait.
    """
    priority = check_priority(value)
    # The row first: whoever claims the run at this moment decides whether it still waits.
    waiting = Run.objects.filter(pk=run.pk, status__in=(RunStatus.DRAFT, RunStatus.QUEUED))
    if not waiting.update(priority=priority):
        run.refresh_from_db()
        raise Refused(
            f"run {run.pk} is {run.status}; its priority counts only while it is a draft or queued"
        )
    write_json(run.directory.record, {**read_json(run.directory.record), "priority": priority})
    run.priority = priority
    return run


def stop(run: Run, reason: str = "Stopped by its user.") -> Run:
    """Stop a queued run at once; ask a running one to checkpoint and end.

    A running run ends at its next rollout; its supervisor sees the request within a heartbeat. The
    script of a logged one is told with its next batch.

    Raises:
        IllegalMove: It is neither queued nor running.
    """
    reason = names.derived(reason, "reason")
    if run.status == RunStatus.QUEUED:
        run.move_to(RunStatus.STOPPED, status_reason=reason)
        run.directory.append(events.status(run.step, RunStatus.STOPPED, reason))
        return run
    return _ask_to_end(run, RunStatus.STOPPED, reason)


def pause(run: Run) -> Run:
    """Ask a running run to checkpoint and leave its worker; `resume` goes on exactly there.

    Raises:
        IllegalMove: It is not running.
        Refused: An outside script logs it.
    """
    refuse_logged(run, "paused")
    return _ask_to_end(run, RunStatus.PAUSED, "Paused by its user.")


def save(run: Run) -> Run:
    """Ask a running run to save a checkpoint at its next rollout and go on.

    Raises:
        Refused: It is not running, or is about to end, which saves it anyway; or an outside script
            logs it.
    """
    refuse_logged(run, "saved")
    if run.is_in_terminal:
        vanished.settle(run)
    asked = Run.objects.filter(
        pk=run.pk, status=RunStatus.RUNNING, stop_requested_at__isnull=True
    ).update(save_requested_at=timezone.now())
    run.refresh_from_db()
    if not asked:
        is_ending = run.status == RunStatus.RUNNING
        why = "about to end, with a checkpoint" if is_ending else run.status
        raise Refused(f"run {run.pk} is {why}; only a run that goes on running saves on request")
    return run


def _ask_to_end(run: Run, status: RunStatus, reason: str) -> Run:
    asked = Run.objects.filter(pk=run.pk, status=RunStatus.RUNNING)
    if not asked.update(stop_requested_at=timezone.now(), stop_as=status, status_reason=reason):
        run.refresh_from_db()
        raise IllegalMove(run.status, status, run.legal_moves())
    run.refresh_from_db()
    # Nobody would obey where a terminal is gone; for a worker another one comes.
    return vanished.settle(run) if run.is_in_terminal else run


def ring_queued() -> None:
    """Ring the queue for whatever waits; tasks that find nothing to do end at once."""
    bells = ((Run, work_on_runs), (Evaluation, work_on_evaluations), (Video, work_on_films))
    for kind, ring in bells:
        if kind._default_manager.filter(status=JobStatus.QUEUED).exists():
            transaction.on_commit(ring)
