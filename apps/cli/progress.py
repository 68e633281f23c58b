"""Progress bars of training runs in a terminal."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from apps.cli.shapes import number
from apps.experiments.models import ACTIVE_STATUSES, Evaluation, JobStatus, Run
from apps.jobs.supervisor import Watch

POLL_S = 0.3
NEVER = threading.Event()


@contextmanager
def progress_bar(run: Run, is_quiet: bool) -> Iterator[Watch]:
    """Show a bar on standard error and give the function that moves it."""
    console = Console(stderr=True, quiet=is_quiet)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[note]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task(run.name, total=1.0, note="")

        def watch(now: Run) -> None:
            speed = number(now.steps_per_second, 0)
            note = f"return {number(now.return_last)}  {speed} steps/s  {now.status}"
            progress.update(task, completed=now.progress, note=note)

        yield watch


def wait_for_run(run: Run, watch: Watch, give_up: threading.Event = NEVER) -> Run:
    """Wait until somebody else has brought a run to its end, or `give_up` is set."""
    while True:
        run.refresh_from_db()
        watch(run)
        if run.status not in ACTIVE_STATUSES or give_up.wait(POLL_S):
            return run


def wait_for_evaluations(run: Run, give_up: threading.Event = NEVER) -> None:
    """Wait until a worker has carried out a run's evaluations, or `give_up` is set."""
    waiting = run.evaluations.filter(status__in=(JobStatus.QUEUED, JobStatus.RUNNING))
    while waiting.exists() and not give_up.wait(POLL_S):
        pass


def wait_for_evaluation(evaluation: Evaluation) -> Evaluation:
    """Wait until a worker has carried out an evaluation."""
    while evaluation.status in (JobStatus.QUEUED, JobStatus.RUNNING):
        time.sleep(POLL_S)
        evaluation.refresh_from_db()
    return evaluation
