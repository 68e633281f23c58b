"""The verbs of a user about a run's life: launch, stop, pause, save, evaluate.

`lineage` has those that go on from a run, `batches` those about many, `records` those about names,
experiments and the trash. Every face calls these. A verb checks, changes files first and rows
after them, and rings the queue once the rows are committed. Refusals are `InvalidSpec`,
`IllegalMove` and `Refused`.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import DatabaseError, transaction
from django.utils import timezone

from apps.errors import EngineError, FieldError, InvalidSpec
from apps.experiments.models import Evaluation, Experiment, Run, Video, new_run_id
from apps.experiments.statuses import IllegalMove, JobStatus, Relation, RunStatus
from apps.experiments.turns import PRIORITY_BOUNDS
from apps.jobs import rows
from apps.jobs.descriptions import description_of
from apps.jobs.endings import MAX_REASON_LENGTH
from apps.jobs.rows import LogCopier
from apps.jobs.tasks import work_on_evaluations, work_on_films, work_on_runs
from apps.jobs.verbs import vanished
from apps.jobs.verbs.naming import UNNAMED, Naming, check_run_name, experiment_name, free_name
from apps.jobs.verbs.refusals import Refused, refuse_logged
from apps.rundir import events
from apps.rundir.checkpoints import copy_checkpoint
from apps.rundir.directory import take_weights
from apps.rundir.files import read_json, sha256_of, write_json
from apps.spec.memory import gpu_bytes, training_bytes
from apps.spec.run import RunSpec
from apps.spec.schema import check_numbers
from apps.text import names


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a run comes from.

    Attributes:
        parent: The run before it, None for one that was imported.
        step: Step of the checkpoint it starts from, None when it starts anew.
        relation: What it is to its parent.
        weights: The model file that its spec's `weights` is the hash of; None: its parent's own.
        file_name: What its user calls that file.
        passed_over: Later checkpoints that it would rather have gone on from, and what was wrong
            with each.
    """

    parent: Run | None
    step: int | None
    relation: Relation
    weights: Path | None = None
    file_name: str = ""
    passed_over: Mapping[str, str] = field(default_factory=dict)

    @property
    def goes_on_at(self) -> int | None:
        """The step that it goes on from with everything, None when its own steps begin at 0."""
        return None if self.relation == Relation.SEED else self.step


def create(
    spec: RunSpec,
    naming: Naming = UNNAMED,
    origin: Origin | None = None,
) -> Run:
    """Make a run as a draft: its directory first, then its row.

    The spec must have passed `check_spec`. A run that goes on from a checkpoint gets it as its
    own, and one that starts from weights their file, so that its directory stands alone.

    Raises:
        Refused: The spec names weights, and the file that has them is gone.
        InvalidSpec: The name hides another run.
    """
    made = f"{spec.algorithm}-{spec.environment}-s{spec.seed}"
    name = check_run_name(naming.name) if naming.name else free_name(made)
    weights = _weights_of(spec, origin)
    experiment = experiment_name(spec, naming.experiment)
    run = Run(
        id=new_run_id(),
        name=name,
        priority=naming.priority,
        **_memory_columns(spec, origin),
        **rows.spec_columns(spec),
    )
    if origin:
        run.parent, run.parent_step, run.relation = origin.parent, origin.step, origin.relation
        run.step = origin.goes_on_at or 0
        run.fidelity_notes = dict(origin.passed_over)
        run.status_reason = passed_over_in_words(origin.passed_over, origin.step)
    run.directory.create(run.spec, _record_of(run, naming, experiment, origin))
    try:
        run.directory.append(events.status(run.step, RunStatus.DRAFT, run.status_reason))
        if origin and weights:
            take_weights(weights, run.directory, is_ours=origin.parent is not None)
        if origin and origin.parent and origin.goes_on_at is not None:
            run.directory.append(_copy_checkpoint(origin.parent, origin.goes_on_at, run))
        with transaction.atomic():
            run.experiment, _ = Experiment.objects.get_or_create(name=experiment)
            run.save(force_insert=True)
            if run.directory.checkpoints.exists():
                LogCopier(run).advance()  # What was copied is remembered at once.
    except (EngineError, OSError, DatabaseError):
        # Whoever is told that there is no run finds none later either.
        shutil.rmtree(run.directory.path, ignore_errors=True)
        raise
    return run


def _record_of(run: Run, naming: Naming, experiment: str, origin: Origin | None) -> dict[str, Any]:
    """Return what a new run's directory keeps of it beside its spec, for `reindex`."""
    return {
        "id": run.pk,
        "name": run.name,
        "experiment": experiment,
        "created_at": run.created_at.isoformat(),
        "command": naming.command,
        "priority": naming.priority,
        "memory_bytes": run.memory_bytes,
        "gpu_memory_bytes": run.gpu_memory_bytes,
        "parent": run.parent_id,
        "parent_step": run.parent_step,
        "relation": run.relation,
        **({"file_name": origin.file_name} if origin and origin.file_name else {}),
        **({"passed_over": run.fidelity_notes} if run.fidelity_notes else {}),
    }


def _copy_checkpoint(parent: Run, step: int, child: Run) -> events.Event:
    remembered = parent.checkpoints.filter(step=step).values_list("sha256", flat=True).first()
    return copy_checkpoint(parent.directory, child.directory, step, remembered or "")


def passed_over_in_words(passed_over: Mapping[str, str], step: int | None) -> str:
    """Say plainly that a run goes on from an earlier checkpoint than it was to; else nothing."""
    if not passed_over:
        return ""
    words = f"It goes on from step {step}, since later ones are damaged: "
    return (words + "; ".join(passed_over.values()))[:MAX_REASON_LENGTH]


def _memory_columns(spec: RunSpec, origin: Origin | None) -> dict[str, int]:
    if origin and origin.parent and origin.step is None:  # The same spec once more.
        same = origin.parent
        return {"memory_bytes": same.memory_bytes, "gpu_memory_bytes": same.gpu_memory_bytes}
    description = description_of(spec)
    return {
        "memory_bytes": training_bytes(spec, description),
        "gpu_memory_bytes": gpu_bytes(spec, description),
    }


def _weights_of(spec: RunSpec, origin: Origin | None) -> Path | None:
    """Return the file whose hash a spec names, None when it names none."""
    if not spec.weights:
        return None
    path = origin.weights if origin else None
    if origin and origin.parent and path is None:
        path = origin.parent.directory.init
    if path is None or not path.exists() or sha256_of(path) != spec.weights:
        raise Refused(
            f"the model file of hash {spec.weights[:12]}… that it starts from is gone or changed"
        )
    return path


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
