"""The verbs that go on from a run: resume it, or make another one out of it.

What was trained stays as it is: a retry, a reproduction, a continuation and a branch are runs of
their own, each with its parent.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.db import transaction

from apps.engine import events, names
from apps.engine.backends import DEFAULT_BACKEND
from apps.engine.errors import FieldError, InvalidSpec
from apps.engine.normalization import normalization_over
from apps.engine.spec import RunSpec
from apps.experiments.models import (
    RESUMABLE_STATUSES,
    Checkpoint,
    IllegalMove,
    Relation,
    Run,
    RunStatus,
)
from apps.jobs.control import (
    Origin,
    Refused,
    check_spec,
    checkpoint_at,
    create,
    queue,
    refuse_logged,
)
from apps.jobs.naming import UNNAMED, Naming
from apps.jobs.registered import Asker
from apps.jobs.tasks import work_on_runs

# These shape the networks, so a checkpoint's weights fit no other values.
NETWORK_HYPERPARAMETERS = frozenset({
    "net_arch", "critic_net_arch", "activation_fn", "policy", "n_critics", "n_quantiles",
    "lstm_hidden_size", "n_lstm_layers", "shared_lstm", "enable_critic_lstm", "use_sde",
    "layer_norm",
})  # fmt: skip


def resume(run: Run) -> Run:
    """Queue a run that ended early; it goes on from its latest checkpoint.

    Raises:
        IllegalMove: It is active, a draft, or completed.
        Refused: It has no checkpoint.
    """
    refuse_logged(run, "resumed")
    if run.status not in RESUMABLE_STATUSES:
        raise IllegalMove(run.status, RunStatus.QUEUED, run.legal_moves())
    if not run.checkpoints.exists():
        raise Refused(
            f"run {run.pk} has no checkpoint to go on from; `retry` starts it anew as another run"
        )
    run.directory.append(events.status(run.step, RunStatus.QUEUED, "Resumed by its user."))
    run.move_to(RunStatus.QUEUED, status_reason="", auto_resumes=0)
    transaction.on_commit(work_on_runs)
    return run


def retry(run: Run, command: str = "") -> Run:
    """Queue the same spec as a new run, from its beginning.

    Raises:
        Refused: The run is still active.
    """
    return _again(run, Relation.RETRY, command)


def reproduce(run: Run, command: str = "") -> Run:
    """Queue the same spec as a new run, to see whether it gives the same curve.

    Raises:
        Refused: The run is still active.
    """
    return _again(run, Relation.REPRODUCE, command)


def continue_run(run: Run, more_timesteps: int, command: str = "") -> Run:
    """Queue a child that goes on from the last checkpoint for more steps.

    Raises:
        Refused: The run is active, or has no checkpoint.
        InvalidSpec: The steps are out of bounds.
    """
    refuse_logged(run, "continued")
    checkpoint = checkpoint_at(run, "last")
    changes = {"total_timesteps": checkpoint.step + more_timesteps}
    return _child(run, checkpoint, Relation.CONTINUE, changes, Naming(command=command))


def branch(
    run: Run,
    at: str,
    changes: Mapping[str, Any],
    naming: Naming = UNNAMED,
    asker: Asker = Asker.LOGIN,
) -> Run:
    """Queue a child that goes on from a checkpoint with another spec.

    Args:
        run: The parent.
        at: `last`, `best` or a step that has a checkpoint.
        changes: Fields of the spec; `hyperparameters` and keywords of `normalize` given here
            replace single values.
        naming: The child's name and experiment; empty takes the parent's experiment.
        asker: Who asks, for what changes.

    Raises:
        Refused: The run is active, there is no such checkpoint, or the algorithm or the backend
            is another.
        InvalidSpec: A change is refused.
    """
    refuse_logged(run, "branched")
    kept = {"algorithm": run.algorithm, "backend": run.spec.get("backend", DEFAULT_BACKEND)}
    for name, value in kept.items():
        if changes.get(name, value) != value:
            raise Refused(
                f"a branch keeps its {name}, {value}: another one cannot use its networks"
            )
    hyperparameters = {**run.spec["hyperparameters"], **changes.get("hyperparameters", {})}
    _refuse_other_networks(run, hyperparameters)
    changes = {**changes, "hyperparameters": hyperparameters}
    if "normalize" in changes:
        changes["normalize"] = normalization_over(run.spec.get("normalize"), changes["normalize"])
    if changes.get("environment", run.environment) != run.environment:
        changes.setdefault("environment_kwargs", {})  # The parent's were for its environment.
    return _child(run, checkpoint_at(run, at), Relation.BRANCH, changes, naming, asker)


def _refuse_other_networks(run: Run, hyperparameters: Mapping[str, Any]) -> None:
    errors = [
        FieldError(
            f"hyperparameters.{name}",
            f"{hyperparameters.get(name)!r} is not allowed; a branch keeps its parent's networks: "
            f"{run.spec['hyperparameters'].get(name)!r}",
        )
        for name in sorted(NETWORK_HYPERPARAMETERS)
        if hyperparameters.get(name) != run.spec["hyperparameters"].get(name)
    ]
    if errors:
        raise InvalidSpec(errors)


def _again(run: Run, relation: Relation, command: str) -> Run:
    refuse_logged(run, "run again")
    _refuse_active(run)
    naming = _named_after(run, f"-{relation}", Naming(command=command))
    spec = RunSpec.from_dict(run.spec)
    return queue(create(spec, naming, Origin(run, None, relation)))


def _child(
    run: Run,
    checkpoint: Checkpoint,
    relation: Relation,
    changes: Mapping[str, Any],
    naming: Naming,
    asker: Asker = Asker.LOGIN,
) -> Run:
    _refuse_active(run)
    if not run.directory.has_checkpoint(checkpoint.step):
        raise Refused(
            f"the files of checkpoint {checkpoint.step} of run {run.pk} are gone; choose another"
        )
    checked = check_spec({**run.spec, "weights": "", **changes}, asker, inherited=run.spec)
    spec = replace(checked, weights=run.spec.get("weights", ""))
    if spec.total_timesteps <= checkpoint.step:
        raise InvalidSpec([FieldError(
            "total_timesteps",
            f"{spec.total_timesteps} is not allowed; the checkpoint is at step {checkpoint.step}, "
            "so it must be more",
        )])  # fmt: skip
    named = _named_after(run, f"-{relation}-{checkpoint.step}", naming)
    return queue(create(spec, named, Origin(run, checkpoint.step, relation)))


def _named_after(run: Run, suffix: str, naming: Naming) -> Naming:
    """Return the names of a child: its parent's, whatever they hold, where none are given."""
    return replace(
        naming,
        name=naming.name or names.derived(run.name + suffix, "run"),
        experiment=naming.experiment or names.derived(run.experiment.name, "experiment"),
    )


def _refuse_active(run: Run) -> None:
    if run.is_active:
        raise Refused(f"run {run.pk} is {run.status}; stop or pause it first")
