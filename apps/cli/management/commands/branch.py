"""`branch`: go on from a checkpoint with another spec, as a child."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from apps.cli.option_parser import one_of, whole
from apps.cli.spec_options import (
    add_hyperparameters,
    add_world,
    read_world,
    with_hyperparameters,
)
from apps.cli.verbs import TrainingVerb
from apps.experiments.models import Run
from apps.jobs.verbs import lineage
from apps.jobs.verbs.checking import Asker
from apps.jobs.verbs.naming import Naming
from apps.spec.schedules import SCHEDULES


class Command(TrainingVerb):
    metavar = "RUN[@best|@last|@STEP]"
    help = "Queue a child that goes on from a checkpoint with changed hyperparameters."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_hyperparameters(parser)
        parser.add_argument(
            "-n", dest="total_timesteps", type=whole, metavar="N", help="steps in all"
        )
        parser.add_argument("--seed", type=whole)
        parser.add_argument("--env", dest="environment", metavar="ID")
        add_world(parser)
        parser.add_argument(
            "--schedules",
            type=one_of(SCHEDULES),
            metavar="|".join(SCHEDULES),
            help="keep the parent's length, or stretch over the branch's; default: keep, unless "
            "a hyperparameter that makes a schedule is changed",
        )
        parser.add_argument("--name", default="")
        parser.add_argument("--experiment", default="", metavar="NAME")

    def name_of(self, options: dict[str, Any]) -> str:
        return str(options["run"].partition("@")[0])

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        parent = Run.objects.resolve(self.name_of(options))
        changes = {
            name: options[name]
            for name in ("total_timesteps", "seed", "environment")
            if options[name] is not None
        }
        changes = with_hyperparameters(
            {**changes, **read_world(options)}, options, parent.algorithm, self.note
        )
        naming = Naming(options["name"], options["experiment"], shlex.join(sys.argv))
        return partial(
            lineage.branch,
            at=options["run"].partition("@")[2] or "last",
            changes=changes,
            naming=naming,
            schedules=options["schedules"] or "",
            asker=Asker.TERMINAL,
            is_here=options["here"],
        )
