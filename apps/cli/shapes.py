"""What commands print of runs and evaluations, as JSON and as tables."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from apps import words
from apps.experiments.listing.sorting import SUMMARY_COLUMNS
from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.statuses import RunStatus
from apps.jobs.verbs.waiting import pending_of, why_each_waits, why_it_waits
from apps.text.names import lines, one_line

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
        "evaluations": evaluations_as_dicts(evaluations),
    }


def evaluations_as_dicts(evaluations: Iterable[Evaluation]) -> list[dict[str, Any]]:
    """Return evaluations as `evaluation_as_dict` does; each queue is looked at once."""
    waits, film_waits = why_each_waits(Evaluation), why_each_waits(Video)
    return [_evaluation_as_dict(one, waits, film_waits) for one in evaluations]


def evaluation_as_dict(evaluation: Evaluation) -> dict[str, Any]:
    """Return an evaluation with its summary, and its film with what became of it."""
    return evaluations_as_dicts([evaluation])[0]


def _evaluation_as_dict(
    evaluation: Evaluation, waits: Mapping[int, str], film_waits: Mapping[int, str]
) -> dict[str, Any]:
    video: Video | None = getattr(evaluation, "video", None)
    film = evaluation.film
    return {
        "id": evaluation.pk,
        "run": evaluation.run_id,
        "step": evaluation.step,
        "status": evaluation.status,
        "waiting": waits.get(evaluation.pk, ""),
        "error": evaluation.error,
        "interrupted": evaluation.interrupted,
        "n_episodes": evaluation.n_episodes,
        "n_played": evaluation.n_played,
        "seed": evaluation.seed,
        "is_deterministic": evaluation.is_deterministic,
        "return_mean": evaluation.return_mean,
        "return_std": evaluation.return_std,
        "return_min": evaluation.return_min,
        "return_max": evaluation.return_max,
        "length_mean": evaluation.length_mean,
        "special": evaluation.special,
        "video": str(evaluation.run.directory.path / film.path) if film else None,
        "video_status": video.status if video else None,
        "video_waiting": film_waits.get(video.pk, "") if video else "",
        "video_cut": film.cut if film else "",
        "film_error": evaluation.film_error,
    }


def is_for_people() -> bool:
    """Whether standard output is a terminal; a program gets whole values, parted by tabs."""
    return sys.stdout.isatty()


def print_rows(names: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a line of names, then a line for each row, parted by tabs and never cut short."""
    for row in (names, *rows):
        print("\t".join(map(_in_one_cell, row)))  # noqa: T201


def _in_one_cell(value: object) -> str:
    return "" if value is None else one_line(str(value))


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
            run.pk,
            escape(one_line(run.name)),
            f"[{style}]{run.status}[/]" if style else run.status,
            "-" if run.progress is None else f"{run.progress:.0%}",
            number(run.return_last),
            number(run.return_best),
            number(run.evaluation_last),
            number(run.steps_per_second),
            *([number(getattr(run, sorted_by))] if is_extra else []),
        )
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
        "speed": f"{number(run.steps_per_second)} steps/s",
        "elapsed": duration(run.elapsed_s),
        "time left": duration(run.eta_s),
        "attempt": f"{run.attempt} {run.fidelity}".strip(),
        "mean return": f"{number(run.return_last)} (best {number(run.return_best)})",
        "evaluation": number(run.evaluation_last),
        **_pending_plays(run),
        "directory": run.directory.path,
    }
    print_facts(facts)
    if run.error:
        Console().print(lines(run.error), style="red", markup=False, highlight=False)


def _pending_plays(run: Run) -> dict[str, str]:
    """Say of a run's evaluations and films that are not done why they are not."""
    return {
        f"{job.kind} {job.id}": f"{job.status} at step {job.step:,}"
        + (f": {job.waiting}" if job.waiting else "")
        for job in pending_of(run)
    }


def print_evaluations(evaluations: Iterable[Evaluation]) -> None:
    """Print evaluations as a table, with why they and their films are not done.

    Without a terminal each is a line parted by tabs, with whole values.
    """
    names = ("id", "run", "name", "step", "status", "return", "video", "note")
    waits, film_waits = why_each_waits(Evaluation), why_each_waits(Video)
    rows = [_evaluation_row(one, waits, film_waits) for one in evaluations]
    if not is_for_people():
        print_rows(names, rows)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        is_number = name in {"step", "return"}
        table.add_column(name, justify="right" if is_number else "left", overflow="fold")
    for row in rows:
        table.add_row(*(escape(one_line(_for_people(cell))) for cell in row))
    Console().print(table)


def _evaluation_row(
    one: Evaluation, waits: Mapping[int, str], film_waits: Mapping[int, str]
) -> tuple[object, ...]:
    video: Video | None = getattr(one, "video", None)
    note = waits.get(one.pk) or one.interrupted or one.why
    if video is not None:
        note = note or film_waits.get(video.pk) or video.why or video.cut
    return (
        str(one.pk),
        one.run_id,
        one.run.name,
        one.step,
        one.status,
        one.special.get("return_mean") or one.return_mean,
        video.status if video else None,
        note,
    )


def _for_people(cell: object) -> str:
    return number(cell) if isinstance(cell, int | float | None) else str(cell)


def print_facts(facts: Mapping[str, object]) -> None:
    """Print facts by name, one a line."""
    width = max(map(len, facts))
    console = Console(highlight=False)
    for name, value in facts.items():
        console.print(f"[bold]{name:<{width}}[/]  {escape(one_line(str(value)))}", soft_wrap=True)


def _task(run: Run) -> str:
    told = " on ".join(filter(None, [run.algorithm, run.environment])) or "not told"
    seed = "" if run.seed is None else f", seed {run.seed}"
    return f"{told}{seed}{', logged by a script' if run.is_logged else ''}"


def _progress(run: Run) -> str:
    if run.progress is None or run.total_timesteps is None:
        return f"{run.step:,} steps"
    return f"{run.step:,} of {run.total_timesteps:,} steps ({run.progress:.1%})"


def number(value: float | None) -> str:
    """Return a number for people, a dash for None."""
    return "-" if value is None else words.number(value)


def told_number(evaluation: Evaluation, name: str) -> str:
    """Return a figure of an evaluation for people, called by its name when it is not finite."""
    return str(evaluation.special.get(name) or number(getattr(evaluation, name)))


def duration(seconds: float | None) -> str:
    """Return a duration for people, a dash for None."""
    return "-" if seconds is None else str(timedelta(seconds=round(seconds)))
