"""The verbs of a run that an outside script logs: begin it, take its rows, end it, give it up.

Whatever depends on what the log holds is done while the log's own lock is held: rows that came
before are told from new ones there, and the row of the run moves there, so that lines and row
tell the same life.
"""

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.utils import timezone

from apps.errors import FieldError, InvalidSpec, RunDirectoryError
from apps.experiments.models import Experiment, Run, new_run_id
from apps.experiments.models.run_life import SOMEWHERE
from apps.experiments.statuses import IllegalMove, RunStatus
from apps.foreign.rows import MAX_KEYS, RowError, read_batch, read_rows
from apps.jobs import rows
from apps.jobs.intakes import intake_of, write
from apps.jobs.verbs import reindex
from apps.jobs.verbs.naming import UNNAMED, Naming, check_run_name, free_name
from apps.jobs.verbs.refusals import Refused
from apps.metrics.received import Intake
from apps.rundir import events
from apps.rundir.events import Event
from apps.rundir.files import write_json
from apps.rundir.log import LogWriter
from apps.spec.logged import LoggedSpec, check_object
from apps.text import names
from apps.text.names import ID_ALPHABET, ID_LENGTH, RUN_ID
from apps.words import shown

ENDINGS = (RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED)
MAX_WRITERS = 1_000
MAX_ERROR_LENGTH = 20_000
HOST = re.compile(r"[A-Za-z0-9._-]{1,150}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Process:
    """Where a script runs, so that its death is seen at once on a machine of ours.

    Attributes:
        host: Its machine's name, empty when it does not say.
        pid: Its process id there, 0 likewise.
        provenance: Whatever else it says: command, versions, commit.
    """

    host: str = ""
    pid: int = 0
    provenance: Mapping[str, Any] = field(default_factory=dict)


UNTOLD = Process()


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a batch.

    Attributes:
        n_taken: Rows that are in the log now and were not before.
        n_repeated: Rows that had been received before.
        n_backward: Rows taken whose step is less than one before it in the log.
        errors: Rows that were refused, each with its reason.
        stop: Why the script is asked to end, empty when it is not.
    """

    n_taken: int
    n_repeated: int
    n_backward: int
    errors: list[RowError]
    stop: str


def begin(
    spec: LoggedSpec, naming: Naming = UNNAMED, process: Process = UNTOLD, run_id: str = ""
) -> tuple[Run, bool]:
    """Make a run that a script logs: its directory first, then its row, running.

    Args:
        spec: What the script says of its run.
        naming: Names; empty ones are made from the spec.
        process: Where the script runs.
        run_id: An id of the script's own making: told again, it makes no second run.

    Returns:
        The run, and whether it is new.

    Raises:
        InvalidSpec: The id or the process is refused.
        Refused: Another kind of run has the id.
    """
    _check(process, run_id)
    found = Run.objects.filter(pk=run_id).select_related("experiment").first()
    if found is not None and not found.is_logged:
        raise Refused(f"run {run_id} is trained here; leave the id out for another")
    if found is not None:
        return found, False
    run = _row_of(spec, naming, process, run_id)
    if run.directory.path.exists():  # Its row was not written any more, the last time.
        return reindex.reindex_run(run.directory), False
    experiment = naming.experiment or _experiment_name(spec)
    record = {
        "id": run.pk,
        "name": run.name,
        "experiment": experiment,
        "created_at": run.created_at.isoformat(),
        "command": naming.command,
    }
    run.directory.create(run.spec, record)
    if process.provenance:
        write_json(run.directory.provenance, process.provenance)
    run.directory.append(events.status(0, RunStatus.RUNNING))
    with transaction.atomic():
        run.experiment, _ = Experiment.objects.get_or_create(name=experiment)
        run.save(force_insert=True)
    return run, True


def _row_of(spec: LoggedSpec, naming: Naming, process: Process, run_id: str) -> Run:
    now = timezone.now()
    return Run(
        id=run_id or new_run_id(),
        name=check_run_name(naming.name) if naming.name else free_name(_base_name(spec)),
        status=RunStatus.RUNNING,
        owner=f"{process.host}:{process.pid}:script" if process.pid else SOMEWHERE,
        attempt=1,
        created_at=now,
        started_at=now,
        beat_at=now,
        **rows.spec_columns(spec),
    )


def take(run: Run, data: Any) -> Receipt:
    """Write rows into a run's log: each once, however often it comes.

    Args:
        run: The run; one that was given up as lost goes on.
        data: The batch, as a JSON parser gave it.

    Raises:
        InvalidSpec: Nothing of the batch can be taken.
        Refused: The run is trained here, or has ended, or too many writers log it.
    """
    refuse_trained(run)
    batch = read_batch(data)
    with intake_of(run) as (writer, intake):
        if len(intake.received) >= MAX_WRITERS and batch.writer not in intake.received:
            raise Refused(f"{MAX_WRITERS} writers have logged run {run.pk}; no more are taken")
        taken, errors = read_rows(batch, intake.keys, time.time())
        new, more_errors = _new_rows(taken, intake)
        if new and intake.summary.status in ENDINGS:
            raise Refused(
                f"run {run.pk} has {intake.summary.status}: it takes no more rows; begin another"
            )
        n_backward = _count_backward(new, intake.summary.step)
        if new:
            write(writer, intake, new)
        _note_life(run, writer, intake)
    refused = {error.row for error in more_errors}
    n_repeated = len(taken) - taken.count(None) - len(new) - len(refused)
    evaluations = [row for row in taken if row and row["type"] == "evaluation"]
    if evaluations:
        # Also of rows that came before: the server may have ended between its log and its rows.
        rows.record_evaluations(run, evaluations)
    stop = (run.status_reason or "Asked to stop.") if run.stop_requested_at else ""
    return Receipt(len(new), n_repeated, n_backward, [*errors, *more_errors], stop)


def finish(run: Run, status: str, reason: str = "", error: str = "") -> Run:
    """End a run as its script says; what was said before may be said again.

    Args:
        run: The run.
        status: `completed`, `failed` or `stopped`.
        reason: Why, in one line.
        error: The traceback of what ended it.

    Raises:
        InvalidSpec: There is no such ending.
        IllegalMove: It has ended otherwise.
        Refused: It is trained here.
    """
    refuse_trained(run)
    if status not in ENDINGS:
        allowed = ", ".join(ENDINGS)
        raise InvalidSpec(
            [FieldError("status", f"{shown(status)} is not allowed; allowed: {allowed}")]
        )
    with intake_of(run) as (writer, intake):
        run.refresh_from_db()
        if run.status == status:
            return run
        if status not in run.legal_moves():
            raise IllegalMove(run.status, status, run.legal_moves())
        reason, error = names.derived(reason, "reason"), error[-MAX_ERROR_LENGTH:]
        write(writer, intake, [events.status(intake.summary.step, status, reason, error)])
        run.move_to(RunStatus(status), status_reason=reason, error=error, **_columns(intake))
    return run


def tell(run: Run, event: Event) -> None:
    """Write one more event into a run's log; it counts as a word of its script."""
    with intake_of(run) as (writer, intake):
        write(writer, intake, [event])
        _note_life(run, writer, intake)


def give_up(run: Run, reason: str) -> None:
    """End a running run whose script is gone or silent; its next word lets it go on.

    One that was asked to stop counts as stopped.
    """
    beats = run.beats
    try:
        with intake_of(run) as (writer, intake):
            run.refresh_from_db()
            if run.status != RunStatus.RUNNING or run.beats != beats:
                return  # It said something in the meantime.
            status = RunStatus.STOPPED if run.stop_requested_at else RunStatus.LOST
            run.move_to(status, status_reason=reason, **_columns(intake))
            write(writer, intake, [events.status(run.step, status, reason)])
    except RunDirectoryError as error:
        run.move_to(RunStatus.LOST, status_reason=names.derived(str(error), "reason"))


def _check(process: Process, run_id: str) -> None:
    errors = []
    if run_id and not RUN_ID.fullmatch(run_id):
        rule = f"it must have {ID_LENGTH} characters of {ID_ALPHABET}, or be left out"
        errors.append(FieldError("id", f"{shown(run_id)} is not allowed; {rule}"))
    if bool(process.host) != bool(process.pid) or (
        process.host and not HOST.fullmatch(process.host)
    ):
        rule = "a host's name of letters, digits, dots and dashes, together with pid"
        errors.append(FieldError("host", f"{shown(process.host)} is not allowed; {rule}"))
    check_object("provenance", process.provenance, errors)
    if errors:
        raise InvalidSpec(errors)


def _base_name(spec: LoggedSpec) -> str:
    seed = "" if spec.seed is None else f"s{spec.seed}"
    parts = [spec.algorithm, spec.environment, seed]
    return "-".join(filter(None, parts)) or "logged"


def _experiment_name(spec: LoggedSpec) -> str:
    named = " on ".join(filter(None, [spec.algorithm, spec.environment]))
    return names.derived(named, "experiment") or "Logged runs"


def refuse_trained(run: Run) -> None:
    """Refuse what only a run that a script outside logs can take.

    Raises:
        Refused: The run is trained here.
    """
    if not run.is_logged:
        raise Refused(
            f"run {run.pk} is trained here, and only its trainer writes its log; begin a run of "
            "your own with POST /api/v1/runs/logged"
        )


def _new_rows(rows: list[Event | None], intake: Intake) -> tuple[list[Event], list[RowError]]:
    """Return the rows that the log does not hold yet, and those that bring too many metrics."""
    new: list[Event] = []
    errors: list[RowError] = []
    keys: set[str] = set()
    for index, row in enumerate(rows):
        if row is None or intake.has(row):
            continue
        if row["type"] == "metrics" and not row["values"].keys() <= intake.keys:
            wanted = keys | (row["values"].keys() - intake.keys)
            if len(intake.keys) + len(wanted) > MAX_KEYS:
                key = shown(min(row["values"].keys() - intake.keys))
                rule = f"a run has at most {MAX_KEYS} metrics"
                errors.append(RowError("values", f"{key} is not allowed; {rule}", index))
                continue
            keys = wanted
        new.append(row)
    return new, errors


def _count_backward(new: list[Event], step: int) -> int:
    count = 0
    for row in new:
        count += row["step"] < step
        step = max(step, row["step"])
    return count


def _columns(intake: Intake) -> dict[str, Any]:
    return {**intake.summary.columns(), "log_cursor": intake.cursor}


def _note_life(run: Run, writer: LogWriter, intake: Intake) -> None:
    """Let the row of a run follow its log, and go on if it had been given up."""
    if run.hear(**_columns(intake)) or not run.revive():
        return
    write(writer, intake, [events.status(intake.summary.step, RunStatus.RUNNING)])
    run.hear(**_columns(intake))
