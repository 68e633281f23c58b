"""`branch`: go on from a checkpoint with another spec, as a child."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from apps.cli.option_parser import one_of
from apps.cli.spec_options import add_options, read_options, with_hyperparameters
from apps.cli.verbs import TrainingVerb
from apps.experiments.models import Run
from apps.jobs.verbs import lineage
from apps.jobs.verbs.checking import Asker
from apps.jobs.verbs.naming import Naming
from apps.spec.fields import BRANCHED
from apps.spec.schedules import SCHEDULES


class Command(TrainingVerb):
    metavar = "RUN[@best|@last|@STEP]"
    help = "Queue a child that goes on from a checkpoint with changed hyperparameters."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_options(parser, BRANCHED)
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
        given = read_options(options, BRANCHED)
        changes = with_hyperparameters(given, options, parent.algorithm, self.note)
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
