"""`reproduce`: the same spec again, to compare."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from apps.cli.verbs import TrainingVerb
from apps.experiments.models import Run
from apps.jobs.verbs import lineage


class Command(TrainingVerb):
    help = "Queue the same spec as a new run, to see whether it gives the same curve."

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        return partial(lineage.reproduce, command=shlex.join(sys.argv), is_here=options["here"])
