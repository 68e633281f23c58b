"""Progress bars of training runs in a terminal."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from apps.cli.shapes import number
from apps.experiments.models import Evaluation, Run, RunQuerySet, Video
from apps.experiments.statuses import ACTIVE_STATUSES
from apps.jobs.worker.supervisor import Watch
from apps.text.names import one_line

POLL_S = 0.3
NEVER = threading.Event()


@contextmanager
def progress_bar(run: Run, is_quiet: bool) -> Iterator[Watch]:
    """Show a bar on standard error and give the function that moves it."""
    with _bar(run.name, is_quiet) as move:

        def watch(now: Run) -> None:
            speed = number(now.steps_per_second)
            move(
                now.progress or 0.0,
                f"return {number(now.return_last)}  {speed} steps/s  {now.status}",
            )

        yield watch


@contextmanager
def _bar(title: str, is_quiet: bool) -> Iterator[Callable[[float, str], None]]:
    console = Console(stderr=True, quiet=is_quiet)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(one_line(title), total=1.0, note="")
        yield lambda done, note: progress.update(task, completed=done, note=note)


def wait_for_runs(runs: Sequence[Run], is_quiet: bool) -> None:
    """Wait until workers have trained and evaluated some runs, behind one bar."""
    if len(runs) == 1:
        with progress_bar(runs[0], is_quiet) as watch:
            wait_for_run(runs[0], watch)
    elif runs:
        with _bar(f"{len(runs)} runs", is_quiet) as move:
            _wait_for_all(Run.objects.filter(pk__in=[run.pk for run in runs]), move)
    for run in runs:
        wait_for_evaluations(run)


def _wait_for_all(runs: RunQuerySet, move: Callable[[float, str], None]) -> None:
    while True:
        found = list(runs.only("status", "step", "total_timesteps"))
        left = sum(run.status in ACTIVE_STATUSES for run in found)
        done = sum(
            1.0 if run.status not in ACTIVE_STATUSES else run.progress or 0.0 for run in found
        )
        move(done / max(len(found), 1), f"{left} left")
        if not left:
            return
        time.sleep(POLL_S)


def wait_for_run(run: Run, watch: Watch, give_up: threading.Event = NEVER) -> Run:
    """Wait until somebody else has brought a run to its end, or `give_up` is set."""
    while True:
        run.refresh_from_db()
        watch(run)
        if run.status not in ACTIVE_STATUSES or give_up.wait(POLL_S):
            return run


def wait_for_save(run: Run) -> None:
    """Wait until a run has saved what it was asked to, or runs no longer."""
    while run.save_requested_at is not None:
        time.sleep(POLL_S)
        run.refresh_from_db()


def wait_for_evaluations(run: Run, give_up: threading.Event = NEVER) -> None:
    """Wait until workers have evaluated and filmed a run, or `give_up` is set."""
    # A film is owed by the write that ends its evaluation: there is no moment without either.
    while run.evaluations.pending().exists() or run.videos.pending().exists():
        if give_up.wait(POLL_S):
            return


def wait_for_play(job: Evaluation | Video) -> None:
    """Wait until a worker has carried out an evaluation, or made a film."""
    while job.is_pending:
        time.sleep(POLL_S)
        job.refresh_from_db()
