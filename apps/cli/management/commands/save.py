"""`save`: have a running run write a checkpoint now."""

from collections.abc import Callable
from typing import Any

from apps.cli.progress import wait_for_save
from apps.cli.verbs import RunVerb
from apps.experiments.models import Run
from apps.jobs.verbs import life


class Command(RunVerb):
    help = "Have a running run save a checkpoint at its next rollout and go on."
    awaited = "the checkpoint is there"

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        return life.save

    def wait(self, run: Run, is_quiet: bool) -> None:
        wait_for_save(run)

    def told(self, run: Run) -> str:
        return "asked to save" if run.save_requested_at else "saved"
