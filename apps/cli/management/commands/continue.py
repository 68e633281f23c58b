"""`continue`: go on with a run for more steps, as its child."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from apps.cli.verbs import TrainingVerb
from apps.engine.schedules import SCHEDULES
from apps.experiments.models import Run
from apps.jobs import lineage


class Command(TrainingVerb):
    help = "Queue a child that goes on from a run's last checkpoint for more steps."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "-n", dest="more_timesteps", type=int, required=True, metavar="N", help="further steps"
        )
        parser.add_argument(
            "--schedules",
            choices=SCHEDULES,
            default="keep",
            help="keep: they stay where they ended (default); stretch: over the new length",
        )

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        return partial(
            lineage.continue_run,
            more_timesteps=options["more_timesteps"],
            command=shlex.join(sys.argv),
            schedules=options["schedules"],
            is_here=options["here"],
        )
