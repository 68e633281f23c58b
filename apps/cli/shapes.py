"""What commands print of runs and evaluations, as JSON and as tables."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from apps.experiments.listing import SUMMARY_COLUMNS
from apps.experiments.models import Evaluation, Run, RunStatus
from apps.jobs.waiting import why_it_waits

STATUS_STYLES = {
    "running": "cyan",
    "completed": "green",
    "failed": "red",
    "lost": "red",
    "stopped": "yellow",
    "queued": "blue",
}
SHOWN_COLUMNS = ("return_last", "return_best", "evaluation_last")


def run_as_dict(run: Run) -> dict[str, Any]:
    """Return a run as the REST API shows it in lists."""
    return {
        "id": run.pk,
        "name": run.name,
        "experiment": run.experiment.name,
        "kind": run.kind,
        "algorithm": run.algorithm,
        "environment": run.environment,
        "preset": run.preset,
        "seed": run.seed,
        "status": run.status,
        "status_reason": run.status_reason,
        "priority": run.priority,
        "attempt": run.attempt,
        "parent_id": run.parent_id,
        "parent_step": run.parent_step,
        "relation": run.relation,
        "fidelity": run.fidelity,
        "step": run.step,
        "total_timesteps": run.total_timesteps,
        "progress": run.progress,
        "episodes": run.episodes,
        "steps_per_second": run.steps_per_second,
        **{name: getattr(run, name) for name in SUMMARY_COLUMNS},
        "loss_key": run.loss_key,
        "created_at": run.created_at.isoformat(),
        "started_at": run.started_at.isoformat() if run.started_at else None,
        "finished_at": run.finished_at.isoformat() if run.finished_at else None,
    }


def run_with_evaluations(run: Run) -> dict[str, Any]:
    """Return a run with its directory and its evaluations, newest first."""
    evaluations = run.evaluations.select_related("video")
    return {
        **run_as_dict(run),
        "directory": str(run.directory.path),
        "waiting": why_it_waits(run),
        "memory_bytes": run.memory_bytes,
        "gpu_memory_bytes": run.gpu_memory_bytes,
        "error": run.error,
        "evaluations": [evaluation_as_dict(evaluation) for evaluation in evaluations],
    }


def evaluation_as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation with its summary and the path of its film."""
    video = getattr(evaluation, "video", None)
    return {
        "id": evaluation.pk,
        "run": evaluation.run_id,
        "step": evaluation.step,
        "status": evaluation.status,
        "error": evaluation.error,
        "n_episodes": evaluation.n_episodes,
        "seed": evaluation.seed,
        "is_deterministic": evaluation.is_deterministic,
        "return_mean": evaluation.return_mean,
        "return_std": evaluation.return_std,
        "return_min": evaluation.return_min,
        "return_max": evaluation.return_max,
        "length_mean": evaluation.length_mean,
        "video": str(evaluation.run.directory.path / video.path) if video else None,
    }


def is_for_people() -> bool:
    """Whether standard output is a terminal; a program gets whole values, parted by tabs."""
    return sys.stdout.isatty()


def print_rows(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a line of names, then a line for each row, parted by tabs and never cut short."""
    for row in (names, *rows):
        print("\t".join(map(_in_one_cell, row)))  # noqa: T201


def _in_one_cell(value: object) -> str:
    text = "" if value is None else str(value)
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _print_rows_of_runs(runs: Iterable[Run], sorted_by: str) -> None:
    names = ["id", "name", "status", "progress", *SHOWN_COLUMNS, "steps_per_second"]
    if sorted_by in SUMMARY_COLUMNS and sorted_by not in names:
        names.append(sorted_by)
    print_rows(names, ([getattr(run, name) for name in names] for run in runs))


def print_runs(runs: Iterable[Run], sorted_by: str = "") -> None:
    """Print runs as a table, with the summary column that they are sorted by.

    Without a terminal each is a line parted by tabs, with whole values.
    """
    if not is_for_people():
        _print_rows_of_runs(runs, sorted_by)
        return
    is_extra = sorted_by in SUMMARY_COLUMNS and sorted_by not in SHOWN_COLUMNS
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("id", no_wrap=True)
    for name in ("name", "status"):
        table.add_column(name, overflow="fold")
    for name in ("progress", "return", "best", "evaluation", "steps/s"):
        table.add_column(name, justify="right")
    if is_extra:
        table.add_column(sorted_by.replace("_", " "), justify="right")
    for run in runs:
        style = STATUS_STYLES.get(run.status, "")
        table.add_row(
            run.pk, escape(run.name), f"[{style}]{run.status}[/]" if style else run.status,
            "-" if run.progress is None else f"{run.progress:.0%}",
            number(run.return_last), number(run.return_best),
            number(run.evaluation_last), number(run.steps_per_second, 0),
            *([number(getattr(run, sorted_by))] if is_extra else []),
        )  # fmt: skip
    Console().print(table)


def print_run(run: Run) -> None:
    """Print one run, one fact a line."""
    facts = {
        "id": run.pk,
        "name": run.name,
        "experiment": run.experiment.name,
        "status": f"{run.status} {run.status_reason}".strip(),
        **({"waiting": why_it_waits(run)} if run.status == RunStatus.QUEUED else {}),
        "task": _task(run),
        "progress": _progress(run),
        "speed": f"{number(run.steps_per_second, 0)} steps/s",
        "elapsed": duration(run.elapsed_s),
        "time left": duration(run.eta_s),
        "attempt": f"{run.attempt} {run.fidelity}".strip(),
        "mean return": f"{number(run.return_last)} (best {number(run.return_best)})",
        "evaluation": number(run.evaluation_last),
        "directory": run.directory.path,
    }
    print_facts(facts)
    if run.error:
        Console().print(run.error, style="red", markup=False, highlight=False)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print facts by name, one a line."""
    width = max(map(len, facts))
    console = Console(highlight=False)
    for name, value in facts.items():
        console.print(f"[bold]{name:<{width}}[/]  {escape(str(value))}", soft_wrap=True)


def _task(run: Run) -> str:
    told = " on ".join(filter(None, [run.algorithm, run.environment])) or "not told"
    seed = "" if run.seed is None else f", seed {run.seed}"
    return f"{told}{seed}{', logged by a script' if run.is_logged else ''}"


def _progress(run: Run) -> str:
    if run.progress is None or run.total_timesteps is None:
        return f"{run.step:,} steps"
    return f"{run.step:,} of {run.total_timesteps:,} steps ({run.progress:.1%})"


def number(value: float | None, digits: int = 1) -> str:
    """Return a number for people, a dash for None."""
    return "-" if value is None else f"{value:,.{digits}f}"


def duration(seconds: float | None) -> str:
    """Return a duration for people, a dash for None."""
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))
