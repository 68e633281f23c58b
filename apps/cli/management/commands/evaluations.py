"""`evaluations`: list evaluations and what became of their films."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.shapes import evaluations_as_dicts, print_evaluations
from apps.experiments.listing.pages import Order, cursor_after, page
from apps.experiments.models import Evaluation, Run
from apps.jobs.verbs.evaluations import find_evaluation

NEWEST_FIRST = Order("created_at", is_descending=True)


class Command(OurCommand):
    help = "List evaluations, newest first, with why they wait; `cancel` cancels one."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--run", default="", metavar="RUN", help="of this run only")
        parser.add_argument(
            "--status",
            default="",
            metavar="NAME",
            help="one or several, by comma; queued,running: what waits",
        )
        parser.add_argument("--limit", type=int, default=50, metavar="N")
        parser.add_argument(
            "--after", metavar="EVALUATION", help="go on after this one, the last one printed"
        )

    def run(self, options: dict[str, Any]) -> None:
        if options["limit"] < 1:
            raise CommandError(f"--limit {options['limit']}: it must be at least 1")
        rows = Evaluation.objects.with_status(options["status"]).select_related("run", "video")
        if options["run"]:
            rows = rows.filter(run=Run.objects.resolve(options["run"]))
        after = options["after"]
        cursor = cursor_after(NEWEST_FIRST, find_evaluation(after)) if after else ""
        found = page(rows, NEWEST_FIRST, options["limit"], cursor)
        if options["json"]:
            self.print_json(evaluations_as_dicts(found.rows))
        elif found.rows:
            print_evaluations(found.rows)
            if found.next_cursor:
                self.note(f"there are more: --after {found.rows[-1].pk}")
        else:
            self.stdout.write("No evaluation matches.")
