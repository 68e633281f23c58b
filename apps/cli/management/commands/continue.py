"""`continue`: go on with a run for more steps, as its child."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from apps.cli.option_parser import whole_between
from apps.cli.verbs import RunVerb
from apps.engine.spec import BOUNDS
from apps.experiments.models import Run
from apps.jobs import lineage


class Command(RunVerb):
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

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        return partial(
            lineage.continue_run,
            more_timesteps=options["more_timesteps"],
            command=shlex.join(sys.argv),
        )
