"""`train`: train in this terminal with a progress bar, or queue a run for a worker."""

import shlex
import sys
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.here import pause_when_asked_to_end, train_here
from apps.cli.option_parser import whole
from apps.cli.progress import wait_for_runs
from apps.cli.shapes import print_run, print_runs, run_with_evaluations
from apps.cli.spec_options import add_spec_options, asked_of
from apps.cli.verbs import refuse_broken
from apps.experiments.models import Run
from apps.jobs.drafts import Origin, create
from apps.jobs.verbs import batches, life, weights
from apps.jobs.verbs.checking import Asker
from apps.jobs.verbs.naming import Naming
from apps.jobs.worker import supervisor
from apps.spec.run import RunSpec
from apps.spec.seeds import with_seeds


class Command(OurCommand):
    help = "Train an agent in this terminal, or queue it for a worker."

    def add_arguments(self, parser: CommandParser) -> None:
        add_spec_options(parser)
        parser.add_argument("--experiment", default="", metavar="NAME")
        parser.add_argument("--name", default="", help="the run's name")
        parser.add_argument(
            "--seeds", type=whole, metavar="K", help="K runs with this and the following seeds"
        )
        parser.add_argument(
            "--priority", default=0, metavar="N", help="with --queue: the highest goes first"
        )
        parser.add_argument("--queue", action="store_true", help="leave it to a worker")
        parser.add_argument("--wait", action="store_true", help="with --queue: wait for its end")
        parser.add_argument(
            "-P", "--progress", action="store_true", help="taken, and not needed: a bar is shown"
        )

    def run(self, options: dict[str, Any]) -> None:
        if options["wait"] and not options["queue"]:
            raise CommandError("--wait goes with --queue")
        data, start = asked_of(options, self.note)
        origin = start.origin if start else None
        spec = weights.check_spec(data, start, Asker.TERMINAL)
        specs = with_seeds(spec, 1 if options["seeds"] is None else options["seeds"])
        naming = Naming(
            options["name"],
            options["experiment"],
            shlex.join(sys.argv),
            life.check_priority(options["priority"]),
        )
        if options["queue"]:
            runs = batches.launch_all(specs, naming, origin=origin)
            if options["wait"]:
                wait_for_runs(runs, options["json"])
        else:
            runs = list(_train_here(specs, naming, origin, options["json"]))
        for run in runs:
            run.refresh_from_db()
        self._tell(runs, is_list=options["seeds"] is not None, is_json=options["json"])
        refuse_broken(runs)

    def _tell(self, runs: list[Run], is_list: bool, is_json: bool) -> None:
        if is_json:
            shown = [run_with_evaluations(run) for run in runs]
            self.print_json(shown if is_list else shown[0])
        elif is_list:
            print_runs(runs)
        else:
            print_run(runs[0])


def _train_here(
    specs: list[RunSpec], naming: Naming, origin: Origin | None, is_quiet: bool
) -> Iterator[Run]:
    """Train one after another in this terminal; a stop pauses the present one and ends it all."""
    pause_when_asked_to_end()
    for spec, own in batches.named(specs, naming):
        if not supervisor.shutdown.is_set():
            run = create(spec, own, origin)
            train_here(run, is_quiet)
            yield run
