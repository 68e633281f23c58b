"""`resume`: go on with a run that ended early."""

from collections.abc import Callable
from functools import partial
from typing import Any

from apps.cli.verbs import TrainingVerb
from apps.experiments.models import Run
from apps.jobs.verbs import lineage


class Command(TrainingVerb):
    help = "Queue a run that ended early; it goes on from its latest checkpoint."

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        return partial(lineage.resume, is_here=options["here"])
