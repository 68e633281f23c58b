"""`resume`: go on with a run that ended early."""

from collections.abc import Callable
from typing import Any

from apps.cli.verbs import RunVerb
from apps.experiments.models import Run
from apps.jobs import lineage


class Command(RunVerb):
    help = "Queue a run that ended early; it goes on from its latest checkpoint."

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        return lineage.resume
