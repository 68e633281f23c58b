"""Train in this terminal: be a run's supervisor, behind a progress bar."""

import signal

from django.core.management.base import CommandParser

from apps.cli.plays import evaluate_here, film_here
from apps.cli.progress import progress_bar, wait_for_evaluations, wait_for_run
from apps.experiments.models import Evaluation, Run
from apps.experiments.models.leases import TERMINAL
from apps.experiments.statuses import JobStatus
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.worker import supervisor


def add_here(parser: CommandParser) -> None:
    """Add the option of every verb whose run may be trained in this terminal."""
    parser.add_argument(
        "--here", action="store_true", help="train it in this terminal, without a worker"
    )


def pause_when_asked_to_end() -> None:
    """Have Ctrl-C and SIGTERM save and pause the run that is trained here."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.shutdown.set())


def train_here(run: Run, is_quiet: bool) -> None:
    """Train a draft or queued run in this terminal, and evaluate it.

    A worker may have taken a queued one meanwhile: then its end is waited for.
    """
    if run.claim(supervisor.new_owner(TERMINAL)):
        with progress_bar(run, is_quiet) as watch:
            supervisor.supervise_run(
                run, TrainerProcess(*TRAINER), lambda: None, watch, shutdown_status="paused"
            )
        _evaluate_here(run)
    else:
        with progress_bar(run, is_quiet) as watch:
            wait_for_run(run, watch, supervisor.shutdown)
    if not supervisor.shutdown.is_set():
        wait_for_evaluations(run)  # A worker may have taken one.


def _evaluate_here(run: Run) -> None:
    for evaluation in Evaluation.objects.filter(run=run, status=JobStatus.QUEUED):
        evaluate_here(evaluation)
        film_here(evaluation)
