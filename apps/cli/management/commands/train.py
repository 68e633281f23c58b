"""`train`: train in this terminal with a progress bar, or queue a run for a worker."""

import shlex
import signal
import sys
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.progress import progress_bar, wait_for_evaluations, wait_for_run
from apps.cli.shapes import print_run, run_with_evaluations
from apps.engine.algorithms import ALGORITHMS
from apps.engine.presets import LENGTH_TITLES, PRESET_TITLES
from apps.engine.spec import DEVICES, RunSpec, parse_assignments
from apps.experiments.models import Evaluation, JobStatus, Run, RunStatus
from apps.jobs import control, supervisor
from apps.jobs.trainer import TRAINER, TrainerProcess

# Command-line option -> field of the spec, for options that are passed on as they are.
SPEC_OPTIONS = {
    "algo": "algorithm",
    "env": "environment",
    "timesteps": "total_timesteps",
    "length": "length",
    "preset": "preset",
    "seed": "seed",
    "n_envs": "n_envs",
    "eval_freq": "eval_freq",
    "eval_episodes": "eval_episodes",
    "save_freq": "save_freq",
    "device": "device",
}


class Command(OurCommand):
    help = "Train an agent in this terminal, or queue it for a worker."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--algo", metavar="NAME", help=f"one of {', '.join(ALGORITHMS)}")
        parser.add_argument(
            "--env", metavar="ID", help="Gymnasium id, or module:Env-v0 for your own"
        )
        parser.add_argument(
            "-n", dest="timesteps", type=int, metavar="N", help="environment steps"
        )
        parser.add_argument("--preset", metavar="NAME", help=f"one of {', '.join(PRESET_TITLES)}")
        parser.add_argument("--length", metavar="NAME", help=f"one of {', '.join(LENGTH_TITLES)}")
        parser.add_argument("--seed", type=int)
        parser.add_argument(
            "-params", "--hyperparams", dest="params", nargs="+", default=[], metavar="NAME:VALUE",
            help="hyperparameters; they win over the preset's",
        )  # fmt: skip
        parser.add_argument("--env-kwargs", nargs="+", default=[], metavar="NAME:VALUE")
        parser.add_argument("--n-envs", type=int, metavar="N", help="parallel environments")
        parser.add_argument("--eval-freq", type=int, metavar="N", help="steps between evaluations")
        parser.add_argument("--eval-episodes", type=int, metavar="N")
        parser.add_argument("--save-freq", type=int, metavar="N", help="steps between checkpoints")
        parser.add_argument("--experiment", default="", metavar="NAME")
        parser.add_argument("--name", default="", help="the run's name")
        parser.add_argument("--device", help=f"one of {', '.join(DEVICES)}")
        parser.add_argument("--queue", action="store_true", help="leave it to a worker")
        parser.add_argument("--wait", action="store_true", help="with --queue: wait for its end")

    def run(self, options: dict[str, Any]) -> None:
        if options["wait"] and not options["queue"]:
            raise CommandError("--wait goes with --queue")
        spec = control.check_spec(_spec_of(options))
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


def _spec_of(options: dict[str, Any]) -> dict[str, Any]:
    data = {
        field: options[option]
        for option, field in SPEC_OPTIONS.items()
        if options[option] is not None
    }
    data["hyperparameters"] = parse_assignments(options["params"], "-params")
    data["environment_kwargs"] = parse_assignments(options["env_kwargs"], "--env-kwargs")
    return data


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
