"""The verbs that go on from a run: resume it, or make another one out of it.

What was trained stays as it is: a retry, a reproduction, a continuation and a branch are runs of
their own, each with its parent.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.db import transaction

from apps.catalogue.normalizing import normalization_over
from apps.errors import DamagedCheckpoint, FieldError, InvalidSpec
from apps.experiments.models import Checkpoint, Run
from apps.experiments.statuses import RESUMABLE_STATUSES, IllegalMove, Relation, RunStatus
from apps.jobs.drafts import Origin, create, passed_over_in_words
from apps.jobs.tasks import work_on_runs
from apps.jobs.verbs import vanished
from apps.jobs.verbs.checking import Asker, check_spec
from apps.jobs.verbs.evaluations import checkpoint_at
from apps.jobs.verbs.life import queue
from apps.jobs.verbs.naming import UNNAMED, Naming
from apps.jobs.verbs.refusals import Refused, refuse_logged
from apps.rundir import events
from apps.spec.fields import FIELDS
from apps.spec.run import RunSpec
from apps.spec.schedules import check_schedules, names_of
from apps.text import names

# These shape the networks, so a checkpoint's weights fit no other values.
NETWORK_HYPERPARAMETERS = frozenset(
    {
        "net_arch",
        "critic_net_arch",
        "activation_fn",
        "policy",
        "n_critics",
        "n_quantiles",
        "lstm_hidden_size",
        "n_lstm_layers",
        "shared_lstm",
        "enable_critic_lstm",
        "use_sde",
        "layer_norm",
    }
)


def resume(run: Run, is_here: bool = False) -> Run:
    """Queue a run that ended early; it goes on from its latest intact checkpoint.

    Args:
        run: The run; one whose process is gone has ended early, too.
        is_here: Whether the caller trains it at once: no worker is rung for, and a run that waits
            already is taken from the queue.

    Raises:
        IllegalMove: It is active, a draft, or completed.
        Refused: It has no checkpoint, or none that is intact.
    """
    _look_at(run, "resumed")
    if is_here and run.status == RunStatus.QUEUED:
        return run
    if run.status not in RESUMABLE_STATUSES:
        raise IllegalMove(run.status, RunStatus.QUEUED, run.legal_moves())
    if not run.checkpoints.exists():
        raise Refused(
            f"run {run.pk} has no checkpoint to go on from; `retry` starts it anew as another run"
        )
    checkpoint, passed_over = _intact(run, "last")
    reason = passed_over_in_words(passed_over, checkpoint.step)
    said = f"Resumed by its user. {reason}".strip()
    run.directory.append(events.status(run.step, RunStatus.QUEUED, said))
    run.move_to(RunStatus.QUEUED, status_reason=reason, auto_resumes=0)
    if not is_here:
        transaction.on_commit(work_on_runs)
    return run


def retry(run: Run, command: str = "", is_here: bool = False) -> Run:
    """Queue the same spec as a new run, from its beginning.

    With `is_here` it stays a draft, for the caller to train.

    Raises:
        Refused: The run is still active.
    """
    return _again(run, Relation.RETRY, command, is_here)


def reproduce(run: Run, command: str = "", is_here: bool = False) -> Run:
    """Queue the same spec as a new run, to see whether it gives the same curve.

    With `is_here` it stays a draft, for the caller to train.

    Raises:
        Refused: The run is still active.
    """
    return _again(run, Relation.REPRODUCE, command, is_here)


def continue_run(
    run: Run,
    more_timesteps: int,
    command: str = "",
    schedules: str = "keep",
    is_here: bool = False,
) -> Run:
    """Queue a child that goes on from the last checkpoint for more steps.

    Where that is damaged it goes on from the one before, and takes the steps between once more.

    Args:
        run: The parent.
        more_timesteps: Further steps.
        command: What the user typed or clicked.
        schedules: Whether they stay where they ended, or run over the new length (`schedules`).
        is_here: Whether it stays a draft, for the caller to train.

    Raises:
        Refused: The run is active, or has no checkpoint that is intact.
        InvalidSpec: The steps are out of bounds, or there is no such way with schedules.
    """
    _refuse_unless_at_rest(run, "continued")
    changes = {
        "total_timesteps": checkpoint_at(run, "last").step + more_timesteps,
        "schedule_timesteps": _schedule_timesteps(run, schedules),
    }
    return _child(run, "last", Relation.CONTINUE, changes, Naming(command=command), is_here)


def branch(
    run: Run,
    at: str,
    changes: Mapping[str, Any],
    naming: Naming = UNNAMED,
    schedules: str = "",
    is_here: bool = False,
    asker: Asker = Asker.LOGIN,
) -> Run:
    """Queue a child that goes on from a checkpoint with another spec.

    Args:
        run: The parent.
        at: `last`, `best` or a step that has a checkpoint; `last` is the last one that is intact.
        changes: Fields of the spec; `hyperparameters` and keywords of `normalize` given here
            replace single values.
        naming: The child's name and experiment; empty takes the parent's experiment.
        schedules: Whether they keep the parent's length or run over the child's; empty: they keep
            it, unless a hyperparameter that makes one is among the changes.
        is_here: Whether it stays a draft, for the caller to train.
        asker: Who asks, for what changes.

    Raises:
        Refused: The run is active, there is no such checkpoint, it is damaged, or the algorithm
            or the backend is another.
        InvalidSpec: A change is refused.
    """
    _refuse_unless_at_rest(run, "branched")
    for name in (row.name for row in FIELDS.values() if row.on_branch == "kept"):
        value = run.spec.get(name, FIELDS[name].default)
        if changes.get(name, value) != value:
            raise Refused(
                f"a branch keeps its {name}, {value}: another one cannot use its networks"
            )
    hyperparameters = {**run.spec["hyperparameters"], **changes.get("hyperparameters", {})}
    _refuse_other_networks(run, hyperparameters)
    changes = {**changes, "hyperparameters": hyperparameters}
    if "normalize" in changes:
        changes["normalize"] = normalization_over(run.spec.get("normalize"), changes["normalize"])
    if "schedule_timesteps" not in changes:
        are_new = _has_new_schedule(run.spec["hyperparameters"], hyperparameters)
        chosen = schedules or ("stretch" if are_new else "keep")
        changes["schedule_timesteps"] = _schedule_timesteps(run, chosen)
    if changes.get("environment", run.environment) != run.environment:
        changes.setdefault("environment_kwargs", {})  # The parent's were for its environment.
    return _child(run, at, Relation.BRANCH, changes, naming, is_here, asker)


def _schedule_timesteps(run: Run, schedules: str) -> int:
    check_schedules(schedules)
    if schedules == "stretch":
        return 0
    return int(run.spec.get("schedule_timesteps") or run.spec["total_timesteps"])


def _has_new_schedule(before: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    return any(str(now[name]) != str(before.get(name)) for name in names_of(now))


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


def _again(run: Run, relation: Relation, command: str, is_here: bool) -> Run:
    _refuse_unless_at_rest(run, "run again")
    naming = _named_after(run, f"-{relation}", Naming(command=command))
    spec = RunSpec.from_dict(run.spec)
    made = create(spec, naming, Origin(run, None, relation))
    return made if is_here else queue(made)


def _child(
    run: Run,
    at: str,
    relation: Relation,
    changes: Mapping[str, Any],
    naming: Naming,
    is_here: bool,
    asker: Asker = Asker.LOGIN,
) -> Run:
    checkpoint, passed_over = _intact(run, at)
    checked = check_spec({**run.spec, "weights": "", **changes}, asker, inherited=run.spec)
    spec = replace(checked, weights=run.spec.get("weights", ""))
    is_usual = spec.schedule_length == spec.total_timesteps or not names_of(spec.hyperparameters)
    spec = replace(spec, schedule_timesteps=0 if is_usual else spec.schedule_length)
    if spec.total_timesteps <= checkpoint.step:
        raise InvalidSpec(
            [
                FieldError(
                    "total_timesteps",
                    f"{spec.total_timesteps} is not allowed; the checkpoint is at step "
                    f"{checkpoint.step}, so it must be more",
                )
            ]
        )
    named = _named_after(run, f"-{relation}-{checkpoint.step}", naming)
    origin = Origin(run, checkpoint.step, relation, passed_over=passed_over)
    made = create(spec, named, origin)
    return made if is_here else queue(made)


def _named_after(run: Run, suffix: str, naming: Naming) -> Naming:
    """Return the names of a child: its parent's, whatever they hold, where none are given."""
    return replace(
        naming,
        name=naming.name or names.derived(run.name + suffix, "run"),
        experiment=naming.experiment or names.derived(run.experiment.name, "experiment"),
    )


def _intact(run: Run, at: str) -> tuple[Checkpoint, dict[str, str]]:
    """Return the checkpoint that `at` names once its files are judged; nobody has read them yet.

    Returns:
        The checkpoint; where `at` is `last`, the last one that is intact. And the later ones that
        were passed over, with what is wrong with each.

    Raises:
        Refused: There is none.
    """
    named = checkpoint_at(run, at)
    passed_over: dict[str, str] = {}
    for checkpoint in run.checkpoints.order_by("-step") if at == "last" else [named]:
        try:
            checkpoint.verify()
        except DamagedCheckpoint as error:
            passed_over[f"checkpoint {checkpoint.step}"] = str(error)
        else:
            return checkpoint, passed_over
    words = "; ".join(passed_over.values())
    if at == "last":
        raise Refused(
            f"no checkpoint of run {run.pk} is intact ({words}); `retry` starts it anew as "
            "another run"
        )
    raise Refused(
        f"the files of checkpoint {named.step} of run {run.pk} are gone or damaged ({words}); "
        "choose another"
    )


def _look_at(run: Run, what: str) -> None:
    """Refuse what only a run that is trained here can be; put one right whose process is gone."""
    refuse_logged(run, what)
    vanished.settle(run)


def _refuse_unless_at_rest(run: Run, what: str) -> None:
    _look_at(run, what)
    if run.is_active:
        raise Refused(f"run {run.pk} is {run.status}; stop or pause it first")
