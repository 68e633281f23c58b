"""`branch`: go on from a checkpoint with another spec, as a child."""

import shlex
import sys
from typing import Any

from django.core.management.base import CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.shapes import run_as_dict
from apps.cli.spec_options import add_hyperparameters, read_hyperparameters
from apps.engine.assignments import parse_assignments
from apps.engine.names import one_line
from apps.experiments.models import Run
from apps.jobs import control, lineage
from apps.jobs.registered import Asker


class Command(OurCommand):
    help = "Queue a child that goes on from a checkpoint with changed hyperparameters."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN[@best|@last|@STEP]")
        add_hyperparameters(parser)
        parser.add_argument(
            "-n", dest="total_timesteps", type=int, metavar="N", help="steps in all"
        )
        parser.add_argument("--seed", type=int)
        parser.add_argument("--env", dest="environment", metavar="ID")
        parser.add_argument("--env-kwargs", nargs="+", default=[], metavar="NAME:VALUE")
        parser.add_argument("--name", default="")
        parser.add_argument("--experiment", default="", metavar="NAME")

    def run(self, options: dict[str, Any]) -> None:
        text, _, at = options["run"].partition("@")
        changes = {
            name: options[name]
            for name in ("total_timesteps", "seed", "environment")
            if options[name] is not None
        }
        changes |= read_hyperparameters(options)
        if options["env_kwargs"]:
            changes["environment_kwargs"] = parse_assignments(
                options["env_kwargs"], "--env-kwargs"
            )
        naming = control.Naming(options["name"], options["experiment"], shlex.join(sys.argv))
        parent = Run.objects.resolve(text)
        child = lineage.branch(parent, at or "last", changes, naming, Asker.TERMINAL)
        if options["json"]:
            self.print_json(run_as_dict(child))
        else:
            told = f"{child.status}, from step {child.parent_step}"
            self.stdout.write(f"run {child.pk} ({one_line(child.name)}): {told}")
