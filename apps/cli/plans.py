"""What `train_batch` prints: what becomes of each line of a batch file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from apps.cli.shapes import is_for_people, print_rows
from apps.errors import FieldError
from apps.foreign.batches import Line
from apps.jobs.verbs.batches import PlannedLine, PlannedRun
from apps.spec.fields import DEFAULT_ALGORITHM, DEFAULT_ENVIRONMENT
from apps.text.names import one_line

STATES = {"new": "new", "there": "there already", "repeated": "asked for above"}


def counts(lines: Sequence[PlannedLine]) -> Counter[str]:
    """Return how many runs of a plan are in each state."""
    return Counter(run.state for line in lines for run in line.runs)


def plan_as_dict(lines: Sequence[PlannedLine]) -> dict[str, Any]:
    """Return a plan with its counts."""
    return {
        "lines": [_line_as_dict(line) for line in lines],
        **{state: counts(lines)[state] for state in STATES},
        "refused": sum(bool(line.errors) for line in lines),
    }


def _line_as_dict(planned: PlannedLine) -> dict[str, Any]:
    return {
        "entry": planned.line.entry,
        "line": planned.line.line,
        "varied": planned.line.varied,
        "errors": [_error_as_dict(planned.line, error) for error in planned.errors],
        "runs": [_run_as_dict(run) for run in planned.runs],
    }


def _error_as_dict(line: Line, error: FieldError) -> dict[str, Any]:
    place = line.place_of(error.field)
    return {
        "field": error.field,
        "message": error.message,
        "line": place.line if place else line.line,
        "column": place.column if place else None,
    }


def refusals(lines: Sequence[PlannedLine]) -> Iterator[str]:
    """Say of each refused field which entry it is in and where, and show its line."""
    for planned in lines:
        for error in planned.errors:
            place = planned.line.place_of(error.field)
            where = place or f"line {planned.line.line}"
            told = f"{error.field}: {error.message}".lstrip(": ")
            yield f"entry {planned.line.entry}, {where}: {told}{place.shown() if place else ''}"


def _run_as_dict(planned: PlannedRun) -> dict[str, Any]:
    run = planned.run
    return {
        "state": planned.state,
        "experiment": planned.naming.experiment,
        "algorithm": planned.spec.algorithm,
        "environment": planned.spec.environment,
        "seed": planned.spec.seed,
        "id": run.pk if run else None,
        "name": run.name if run else planned.naming.name or None,
        "status": run.status if run else None,
    }


def print_plan(lines: Sequence[PlannedLine]) -> None:
    """Print a plan as a table, one line of the file each."""
    if not is_for_people():
        told = ([p.line.line, _configuration(p), _seeds(p), _becomes(p)] for p in lines)
        print_rows(("line", "configuration", "seeds", "becomes"), told)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("line", justify="right")
    for name in ("configuration", "seeds", "becomes"):
        table.add_column(name, overflow="fold")
    for planned in lines:
        # As text: what a file says is no markup.
        cells = (_configuration(planned), _seeds(planned), _becomes(planned))
        style = "red" if planned.errors else ""
        table.add_row(str(planned.line.line), *map(Text, map(one_line, cells)), style=style)
    Console().print(table)


def _configuration(planned: PlannedLine) -> str:
    data = planned.line.data
    if not data:
        return ""
    algorithm = data.get("algorithm", DEFAULT_ALGORITHM)
    told = [f"{algorithm} on {data.get('environment', DEFAULT_ENVIRONMENT)}"]
    told += [
        f"{key.rpartition('.')[2]} {value}"
        for key, value in planned.line.varied.items()
        if key not in ("algorithm", "environment", "seed")
    ]
    return ", ".join(told)


def _seeds(planned: PlannedLine) -> str:
    seeds = [run.spec.seed for run in planned.runs]
    is_row = len(seeds) > 2 and seeds == [*range(seeds[0], seeds[-1] + 1)]
    return f"{seeds[0]} to {seeds[-1]}" if is_row else ", ".join(map(str, seeds))


def _becomes(planned: PlannedLine) -> str:
    if planned.errors:
        reasons = (f"{error.field}: {error.message}".lstrip(": ") for error in planned.errors)
        return f"refused: {'; '.join(reasons)}"
    told = []
    for state, words in STATES.items():
        runs = [run for run in planned.runs if run.state == state]
        there = [f"{run.run.pk} {run.run.status}" for run in runs if run.run and state == "there"]
        if runs:
            told.append(f"{len(runs)} {words}" + (f": {', '.join(there)}" if there else ""))
    return "; ".join(told)
