"""`train`: train in this terminal with a progress bar, or queue a run for a worker."""

import shlex
import signal
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.progress import progress_bar, wait_for_evaluations, wait_for_run
from apps.cli.shapes import print_run, run_with_evaluations
from apps.cli.spec_options import add_spec_options, spec_of
from apps.engine.spec import RunSpec
from apps.experiments.models import Evaluation, JobStatus, Run, RunStatus
from apps.jobs import control, supervisor
from apps.jobs.trainer import TRAINER, TrainerProcess


class Command(OurCommand):
    help = "Train an agent in this terminal, or queue it for a worker."

    def add_arguments(self, parser: CommandParser) -> None:
        add_spec_options(parser)
        parser.add_argument("--experiment", default="", metavar="NAME")
        parser.add_argument("--name", default="", help="the run's name")
        parser.add_argument("--queue", action="store_true", help="leave it to a worker")
        parser.add_argument("--wait", action="store_true", help="with --queue: wait for its end")

    def run(self, options: dict[str, Any]) -> None:
        if options["wait"] and not options["queue"]:
            raise CommandError("--wait goes with --queue")
        spec = control.check_spec(spec_of(options))
        naming = control.Naming(options["name"], options["experiment"], shlex.join(sys.argv))
        if options["queue"]:
            run = control.launch(spec, naming)
            if options["wait"]:
                with progress_bar(run, options["json"]) as watch:
                    wait_for_run(run, watch)
                wait_for_evaluations(run)
        else:
            run = _train_here(spec, naming, options["json"])
        run.refresh_from_db()
        if options["json"]:
            self.print_json(run_with_evaluations(run))
        else:
            print_run(run)
        if run.status in {RunStatus.FAILED, RunStatus.LOST}:
            raise CommandError(f"run {run.pk} {run.status}: {run.status_reason}")


def _train_here(spec: RunSpec, naming: control.Naming, is_quiet: bool) -> Run:
    """Be the run's supervisor, then its evaluations', in this terminal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: supervisor.shutdown.set())
    run = control.create(spec, naming)
    if not run.claim(supervisor.new_owner()):
        raise CommandError(f"run {run.pk} was taken by another process")
    with progress_bar(run, is_quiet) as watch:
        supervisor.supervise_run(
            run, TrainerProcess(*TRAINER), lambda: None, watch, shutdown_status="paused"
        )
    for evaluation in Evaluation.objects.filter(run=run, status=JobStatus.QUEUED):
        if evaluation.claim(supervisor.new_owner()):
            supervisor.supervise_evaluation(evaluation, TrainerProcess(*TRAINER))
    if not supervisor.shutdown.is_set():
        wait_for_evaluations(run)  # A worker may have taken one.
    return run
