"""`pause`: save a run and free its worker."""

from collections.abc import Callable
from typing import Any

from apps.cli.verbs import RunVerb
from apps.experiments.models import Run
from apps.jobs.verbs import life


class Command(RunVerb):
    help = "Pause a running run: it saves a checkpoint; `resume` goes on exactly there."

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        return life.pause
