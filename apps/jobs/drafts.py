"""How a run comes to be: a draft, its directory first and then its row."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.db import DatabaseError, transaction

from apps.errors import EngineError
from apps.experiments.models import Experiment, Run, new_run_id
from apps.experiments.statuses import Relation, RunStatus
from apps.jobs import rows
from apps.jobs.descriptions import description_of
from apps.jobs.endings import MAX_REASON_LENGTH
from apps.jobs.rows import LogCopier
from apps.jobs.verbs.naming import UNNAMED, Naming, check_run_name, experiment_name, free_name
from apps.jobs.verbs.refusals import Refused
from apps.rundir import events
from apps.rundir.checkpoints import copy_checkpoint
from apps.rundir.directory import take_weights
from apps.rundir.files import sha256_of
from apps.spec.memory import gpu_bytes, training_bytes
from apps.spec.run import RunSpec


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
    run = _row_of(spec, naming, origin)
    weights = _weights_of(spec, origin)
    experiment = experiment_name(spec, naming.experiment)
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


def _row_of(spec: RunSpec, naming: Naming, origin: Origin | None) -> Run:
    made = f"{spec.algorithm}-{spec.environment}-s{spec.seed}"
    run = Run(
        id=new_run_id(),
        name=check_run_name(naming.name) if naming.name else free_name(made),
        priority=naming.priority,
        **_memory_columns(spec, origin),
        **rows.spec_columns(spec),
    )
    if origin:
        run.parent, run.parent_step, run.relation = origin.parent, origin.step, origin.relation
        run.step = origin.goes_on_at or 0
        run.fidelity_notes = dict(origin.passed_over)
        run.status_reason = passed_over_in_words(origin.passed_over, origin.step)
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
