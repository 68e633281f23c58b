"""`branch`: go on from a checkpoint with another spec, as a child."""

import shlex
import sys
from typing import Any

from django.core.management.base import CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.option_parser import whole
from apps.cli.shapes import run_as_dict
from apps.cli.spec_options import (
    add_hyperparameters,
    add_world,
    read_world,
    with_hyperparameters,
)
from apps.experiments.models import Run
from apps.jobs import control, lineage


class Command(OurCommand):
    help = "Queue a child that goes on from a checkpoint with changed hyperparameters."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN[@best|@last|@STEP]")
        add_hyperparameters(parser)
        parser.add_argument(
            "-n", dest="total_timesteps", type=whole, metavar="N", help="steps in all"
        )
        parser.add_argument("--seed", type=whole)
        parser.add_argument("--env", dest="environment", metavar="ID")
        add_world(parser)
        parser.add_argument("--name", default="")
        parser.add_argument("--experiment", default="", metavar="NAME")

    def run(self, options: dict[str, Any]) -> None:
        text, _, at = options["run"].partition("@")
        parent = Run.objects.resolve(text)
        changes = {
            name: options[name]
            for name in ("total_timesteps", "seed", "environment")
            if options[name] is not None
        }
        changes = with_hyperparameters(
            {**changes, **read_world(options)}, options, parent.algorithm, self.note
        )
        naming = control.Naming(options["name"], options["experiment"], shlex.join(sys.argv))
        child = lineage.branch(parent, at or "last", changes, naming)
        if options["json"]:
            self.print_json(run_as_dict(child))
        else:
            self.stdout.write(
                f"run {child.pk} ({child.name}): {child.status}, from step {child.parent_step}"
            )
