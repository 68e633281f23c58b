"""`stop`: end a run after a checkpoint."""

from typing import Any

from django.core.management.base import CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.progress import progress_bar, wait_for_run
from apps.cli.shapes import run_as_dict
from apps.experiments.models import Run
from apps.jobs import control


class Command(OurCommand):
    help = "Stop a queued or running run; a running one saves a checkpoint first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="id, unique prefix, name, or latest")
        parser.add_argument("--wait", action="store_true", help="wait until it has ended")

    def run(self, options: dict[str, Any]) -> None:
        run = control.stop(Run.objects.resolve(options["run"]))
        if options["wait"]:
            with progress_bar(run, options["json"]) as watch:
                wait_for_run(run, watch)
        if options["json"]:
            self.print_json(run_as_dict(run))
        else:
            asked = "asked to stop" if run.is_active else run.status
            self.stdout.write(f"run {run.pk} ({run.name}) is {asked}")
