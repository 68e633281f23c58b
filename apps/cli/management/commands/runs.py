"""`runs`: list runs."""

from typing import Any

from django.core.management.base import CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.option_parser import one_of, whole_between
from apps.cli.shapes import print_runs, run_as_dict
from apps.errors import InvalidSpec
from apps.experiments.listing.filters import RunFilter
from apps.experiments.listing.pages import Order, cursor_after, page
from apps.experiments.listing.sorting import NEWEST_FIRST, SORTS
from apps.experiments.models import Run
from apps.experiments.statuses import RunKind
from apps.jobs.verbs.vanished import settle_all

MAX_LIMIT = 1_000_000


class Command(OurCommand):
    help = "List runs, newest first."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--status", default="", metavar="NAME", help="one or several, by comma"
        )
        parser.add_argument(
            "--kind",
            type=one_of(RunKind.values),
            metavar="NAME",
            help="trained here, or logged by scripts outside",
        )
        parser.add_argument("--algo", default="", metavar="NAME")
        parser.add_argument("--env", default="", metavar="ID")
        parser.add_argument("--experiment", default="", metavar="NAME")
        parser.add_argument(
            "--search",
            default="",
            metavar="TEXT",
            help="part of a name, environment or experiment, or the start of an id",
        )
        for name, help_text in (("from", "a day or a time, in UTC"), ("to", "likewise")):
            parser.add_argument(f"--created-{name}", default="", metavar="TIME", help=help_text)
        parser.add_argument(
            "--order",
            default=NEWEST_FIRST,
            metavar="KEY",
            help=f"one of {', '.join(SORTS)}; --order=-KEY for the reverse",
        )
        parser.add_argument("--limit", type=whole_between(1, MAX_LIMIT), default=50, metavar="N")
        parser.add_argument(
            "--after", metavar="RUN", help="go on after this run, the last one of the page before"
        )

    def run(self, options: dict[str, Any]) -> None:
        settle_all()
        given = {**options, "algorithm": options["algo"], "environment": options["env"]}
        texts = {name: value for name, value in given.items() if isinstance(value, str)}
        wanted, errors = RunFilter.read(texts)
        if errors:
            raise InvalidSpec(errors)
        order = Order.parse(options["order"], SORTS)
        after = options["after"]
        cursor = cursor_after(order, Run.objects.resolve(after)) if after else ""
        runs = page(wanted.apply(Run.objects.for_listing()), order, options["limit"], cursor)
        if options["json"]:
            self.print_json([run_as_dict(run) for run in runs.rows])
        elif runs.rows:
            print_runs(runs.rows, order.column)
            if runs.next_cursor:
                self.note(f"there are more: --after {runs.rows[-1].pk}")
        elif Run.objects.exists():
            self.stdout.write("No run matches; leave out a filter.")
        else:
            self.stdout.write("No runs. `python manage.py train` starts the first one.")
