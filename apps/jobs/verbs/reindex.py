"""Rebuild rows from run directories, which are the truth."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.utils import timezone

from apps.errors import EngineError, RunDirectoryError
from apps.experiments.artifacts import experiment_file
from apps.experiments.models import Evaluation, Experiment, Run
from apps.experiments.statuses import JobStatus, RunKind, RunStatus
from apps.experiments.turns import PRIORITY_BOUNDS
from apps.jobs import rows
from apps.jobs.rows import LogCopier
from apps.machine.host import PROCESS_BYTES
from apps.metrics import store
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json
from apps.spec.logged import LoggedSpec, is_logged
from apps.spec.run import RunSpec
from apps.text import names

# What a file may raise that somebody damaged or wrote by hand.
UNREADABLE = (
    EngineError,
    OSError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    DataError,
    IntegrityError,
)


@dataclass(slots=True)
class Report:
    """What a rebuild did.

    Attributes:
        runs: Ids of the runs that were rebuilt.
        refused: Reason by directory name, for those that could not be read.
    """

    runs: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)


def reindex() -> Report:
    """Rebuild the rows of every run directory; a directory that cannot be read stops no other."""
    report = Report()
    _index_experiments(report)
    # Parents before their children, whatever the order of their names.
    for directory in sorted(run_directories(), key=_created_at):
        try:
            report.runs.append(reindex_run(directory).pk)
        except UNREADABLE as error:
            report.refused[directory.name] = _refusal(error)
    return report


def _refusal(error: Exception) -> str:
    """Say what a file that cannot be read lacks, in the words that there are."""
    return str(error) if isinstance(error, EngineError | OSError) else f"it is damaged: {error!r}"


def runs_root() -> Path:
    """Return the folder that holds the run directories."""
    return Path(settings.RUNS_ROOT)


def _created_at(directory: RunDirectory) -> str:
    try:
        return str(read_json(directory.record).get("created_at", ""))
    except EngineError:
        return ""


def _index_experiments(report: Report) -> None:
    for path in sorted(experiment_file("").parent.glob("*.json")):
        try:
            kept = read_json(path)
            fields = {
                "hypothesis": kept["hypothesis"],
                "created_at": datetime.fromisoformat(kept["created_at"]),
            }
            name = names.derived(str(kept["name"]), "experiment")
            Experiment.objects.update_or_create(name=name, defaults=fields)
        except UNREADABLE as error:
            report.refused[path.name] = _refusal(error)


def run_directories() -> Iterator[RunDirectory]:
    """Yield every run directory, in order of name."""
    root = runs_root()
    if root.is_dir():
        for path in sorted(root.iterdir()):
            if path.is_dir() and not path.name.startswith("."):
                yield RunDirectory(path)


def reindex_run(directory: RunDirectory) -> Run:
    """Rebuild the rows of one run directory.

    A run that a live supervisor owns keeps its status; one that says it is running while nobody
    holds its lock is lost.

    Raises:
        EngineError: The directory's spec cannot be read.
    """
    data = read_json(directory.spec)
    spec = LoggedSpec.from_dict(data) if is_logged(data) else RunSpec.from_dict(data)
    record = read_json(directory.record) if directory.record.exists() else {}
    existing = Run.objects.filter(pk=directory.name).first()
    with transaction.atomic():
        run = _index_run(directory, spec, record, existing)
    copier = LogCopier(run)
    columns, _ = copier.advance()
    rows.sync_checkpoints(run, copier.summary)
    if existing is None or not existing.is_active:
        columns |= _life(copier, run)
    Run.objects.filter(pk=run.pk).update(**columns)
    if run.is_logged:
        _index_told(run)
    else:
        _index_evaluations(run)
    run.refresh_from_db()
    return run


def _index_run(
    directory: RunDirectory,
    spec: RunSpec | LoggedSpec,
    record: dict[str, Any],
    existing: Run | None,
) -> Run:
    # Written before a rule, or by somebody's editor: told as it is shown, and never refused.
    name = names.derived(str(record.get("name") or ""), "run") or directory.name
    experiment_name = names.derived(str(record.get("experiment") or ""), "experiment")
    experiment, _ = Experiment.objects.get_or_create(name=experiment_name or "Found on disk")
    created_at = existing.created_at if existing else _when_created(record)
    fields = {
        "name": name,
        "parent": _parent_of(record, created_at),
        "created_at": created_at,
        "parent_step": record.get("parent_step"),
        "relation": str(record.get("relation") or ""),
        "priority": _priority(record),
        "memory_bytes": _size(record, "memory_bytes", PROCESS_BYTES),
        "gpu_memory_bytes": _size(record, "gpu_memory_bytes", 0),
        "experiment": experiment,
        **rows.spec_columns(spec),
    }
    if existing is None:
        if fields["kind"] == RunKind.LOGGED:  # Such a run is never a draft.
            fields["status"] = RunStatus.LOST
        return Run.objects.create(pk=directory.name, **fields)
    Run.objects.filter(pk=existing.pk).update(**fields)
    existing.refresh_from_db()
    return existing


def _when_created(record: dict[str, Any]) -> datetime:
    if not record.get("created_at"):
        return timezone.now()
    try:
        return datetime.fromisoformat(str(record["created_at"]))
    except ValueError as error:
        raise RunDirectoryError(f"its record's created_at is no time: {error}") from error


def _parent_of(record: dict[str, Any], created_at: datetime) -> Run | None:
    """Return a run's parent, which is older than the run: so lineage never goes in a circle."""
    parent = Run.objects.filter(pk=record.get("parent") or "").first()
    if parent is not None and parent.created_at >= created_at:
        raise RunDirectoryError(
            f"its record names {parent.pk} as the run it came from, which is not older than itself"
        )
    return parent


def _priority(record: Mapping[str, Any]) -> int:
    """Return the priority that a record has; one that cannot be is none, as in older records."""
    value = record.get("priority")
    low, high = PRIORITY_BOUNDS
    return value if type(value) is int and low <= value <= high else 0


def _size(record: Mapping[str, Any], name: str, unknown: int) -> int:
    """Return the bytes that a record says a run takes; older records do not say it."""
    value = record.get(name)
    return value if type(value) is int and 0 <= value < 2**63 else unknown


def _life(copier: LogCopier, run: Run) -> dict[str, Any]:
    """Return the columns of a run's life as its log tells it."""
    summary = copier.summary
    status, reason = summary.status, summary.reason
    if status not in RunStatus.values:
        status, reason = RunStatus.LOST, f"Its log says {status!r}, which is no status."
    if status == RunStatus.RUNNING and run.is_logged:
        status, reason = (
            RunStatus.LOST,
            "It was rebuilt from disk; its script's next word revives it.",
        )
    elif status == RunStatus.RUNNING and run.directory.lock_holder() is None:
        status, reason = RunStatus.LOST, "Its process vanished."
    elif status == RunStatus.RUNNING:
        # Trained outside the queue, at this moment: nobody here supervises it.
        status, reason = RunStatus.LOST, "It is being trained by a process outside the queue."
    times = {
        "queued_at": summary.queued_at,
        "started_at": summary.started_at,
        "finished_at": summary.finished_at if status in rows.FINAL_STATUSES else None,
    }
    return {
        "status": status,
        "status_reason": reason,
        "attempt": summary.attempt,
        **({"error": summary.error} if run.is_logged else {}),
        **{name: rows.at(value) if value else None for name, value in times.items()},
    }


def _index_told(run: Run) -> None:
    """Make the rows of what the script of a logged run told beside its metrics."""
    for piece in store.read_all(run.directory.log):
        told = [event for event in piece.events if event["type"] == "evaluation"]
        rows.record_evaluations(run, told)
        for event in piece.events:
            if event["type"] == "film" and (run.directory.path / str(event.get("name"))).exists():
                rows.record_told_film(run, event)


def _index_evaluations(run: Run) -> None:
    for path in sorted(run.directory.evaluations.glob("eval_*.json")):
        result = read_json(path)
        spec = result["spec"]
        if run.evaluations.pending().filter(name=result["name"]).exists():
            continue  # Whoever plays it writes its row.
        evaluation, _ = Evaluation.objects.update_or_create(
            run=run,
            name=result["name"],
            defaults={
                **rows.result_columns(result),
                "step": result["step"],
                "status": JobStatus.COMPLETED,
                "seed": spec["seed"],
                "n_episodes": spec["n_episodes"],
                "is_deterministic": spec["is_deterministic"],
                "max_episode_steps": spec["max_episode_steps"],
                "should_film": spec["should_film"],
                "finished_at": rows.at(path.stat().st_mtime),
            },
        )
        rows.record_film(evaluation, result)
    rows.update_evaluation_summary(run)
