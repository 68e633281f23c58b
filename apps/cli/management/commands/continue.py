"""`continue`: go on with a run for more steps, as its child."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from apps.cli.option_parser import one_of, whole_between
from apps.cli.verbs import TrainingVerb
from apps.experiments.models import Run
from apps.jobs.verbs import lineage
from apps.spec.fields import BOUNDS
from apps.spec.schedules import SCHEDULES


class Command(TrainingVerb):
    help = "Queue a child that goes on from a run's last checkpoint for more steps."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        steps = whole_between(*BOUNDS["total_timesteps"])
        parser.add_argument(
            "-n",
            dest="more_timesteps",
            type=steps,
            required=True,
            metavar="N",
            help="further steps",
        )
        parser.add_argument(
            "--schedules",
            type=one_of(SCHEDULES),
            metavar="|".join(SCHEDULES),
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
