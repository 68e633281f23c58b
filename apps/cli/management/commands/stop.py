"""`stop`: end a run after a checkpoint."""

from collections.abc import Callable
from typing import Any

from apps.cli.verbs import RunVerb
from apps.experiments.models import Run
from apps.jobs.verbs import life


class Command(RunVerb):
    help = "Stop a queued or running run; a running one saves a checkpoint first."

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        return life.stop
