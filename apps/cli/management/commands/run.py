"""`run`: show one run."""

from typing import Any

from django.core.management.base import CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.shapes import print_run, run_with_evaluations
from apps.experiments.models import Run
from apps.jobs.verbs.vanished import settle_all


class Command(OurCommand):
    help = "Show one run."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN", help="id, unique prefix, name, or latest")

    def run(self, options: dict[str, Any]) -> None:
        settle_all()
        run = Run.objects.resolve(options["run"])
        if options["json"]:
            self.print_json(run_with_evaluations(run))
        else:
            print_run(run)
