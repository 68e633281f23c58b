"""`retry`: the same spec again, as a new run."""

import shlex
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from apps.cli.verbs import TrainingVerb
from apps.experiments.models import Run
from apps.jobs.verbs import lineage


class Command(TrainingVerb):
    help = "Queue the same spec as a new run, from its beginning."

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        return partial(lineage.retry, command=shlex.join(sys.argv), is_here=options["here"])
