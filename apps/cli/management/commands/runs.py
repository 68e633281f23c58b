"""`runs`: list runs."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.shapes import print_runs, run_as_dict
from apps.experiments.models import Run, RunKind, RunStatus

ORDERS = (
    "created_at", "name", "status", "step", "return_last", "return_best", "evaluation_last",
    "steps_per_second",
)  # fmt: skip


class Command(OurCommand):
    help = "List runs, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--status", choices=RunStatus.values)
        parser.add_argument(
            "--kind", choices=RunKind.values, help="trained here, or logged by scripts outside"
        )
        parser.add_argument("--algo", metavar="NAME")
        parser.add_argument("--env", metavar="ID")
        parser.add_argument(
            "--order", default="-created_at", metavar="KEY",
            help=f"one of {', '.join(ORDERS)}; --order=-KEY for the reverse",
        )  # fmt: skip
        parser.add_argument("--limit", type=int, default=50, metavar="N")

    def run(self, options: dict[str, Any]) -> None:
        if options["order"].removeprefix("-") not in ORDERS:
            raise CommandError(f"--order {options['order']!r}: allowed are {', '.join(ORDERS)}")
        wanted = {
            "status": options["status"],
            "kind": options["kind"],
            "algorithm": options["algo"],
            "environment": options["env"],
        }
        runs = Run.objects.for_listing().filter(**{k: v for k, v in wanted.items() if v})
        runs = runs.order_by(options["order"], "-pk")[: max(options["limit"], 0)]
        if options["json"]:
            self.print_json([run_as_dict(run) for run in runs])
        elif runs:
            print_runs(runs)
        else:
            self.stdout.write("No runs. `python manage.py train` starts the first one.")
