"""What the commands share that do one thing to one run."""

from collections.abc import Callable, Iterable
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command
from apps.cli.here import add_here, pause_when_asked_to_end, train_here
from apps.cli.progress import progress_bar, wait_for_run
from apps.cli.shapes import run_as_dict
from apps.experiments.models import Run
from apps.experiments.statuses import Relation, RunStatus
from apps.jobs.verbs.waiting import NO_WORKER, has_worker
from apps.text.names import one_line


def refuse_broken(runs: Iterable[Run]) -> None:
    """End with an error that names every run that failed or was lost."""
    broken = [run for run in runs if run.status in {RunStatus.FAILED, RunStatus.LOST}]
    if broken:
        told = (f"run {run.pk} {run.status}: {run.status_reason}" for run in broken)
        raise CommandError("; ".join(map(one_line, told)))


class RunVerb(Command):
    """Does one thing to one run, waits if asked to, and says what became of it."""

    awaited = "the run has ended"
    metavar = "RUN"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar=self.metavar, help="id, unique prefix, name, or latest")
        parser.add_argument("--wait", action="store_true", help=f"wait until {self.awaited}")

    def run(self, options: dict[str, Any]) -> None:
        run = self.verb(options)(Run.objects.resolve(options["run"]))
        if options["wait"]:
            self.wait(run, options["json"])
        self.tell(run, options["json"])

    def tell(self, run: Run, is_json: bool) -> None:
        """Print the run, or what became of it."""
        if is_json:
            self.print_json(run_as_dict(run))
        else:
            self.stdout.write(f"run {run.pk} ({one_line(run.name)}): {self.told(run)}")

    def verb(self, options: dict[str, Any]) -> Callable[[Run], Run]:
        raise NotImplementedError

    def wait(self, run: Run, is_quiet: bool) -> None:
        """Wait until what was asked for is done, and refresh the run."""
        with progress_bar(run, is_quiet) as watch:
            wait_for_run(run, watch)

    def told(self, run: Run) -> str:
        """Say what became of the run."""
        return "asked to end" if run.stop_requested_at and run.is_active else run.status


class TrainingVerb(RunVerb):
    """Has one run trained that comes of another: by a worker, or `--here`."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        add_here(parser)

    def run(self, options: dict[str, Any]) -> None:
        is_here = options["here"]
        if is_here:
            pause_when_asked_to_end()
        run = self.verb(options)(Run.objects.resolve(self.name_of(options)))
        if run.status_reason:
            self.note(run.status_reason)
        if is_here:
            train_here(run, options["json"])
        elif not has_worker():
            self.note(
                f"{NO_WORKER}, or train it in this terminal with "
                f"`python manage.py resume {run.pk} --here`"
            )
        if options["wait"] and not is_here:
            self.wait(run, options["json"])
        self.tell(run, options["json"])
        if is_here:
            refuse_broken([run])

    def name_of(self, options: dict[str, Any]) -> str:
        """Return what names the run."""
        return str(options["run"])

    def told(self, run: Run) -> str:
        is_child = run.relation in {Relation.CONTINUE, Relation.BRANCH}
        return f"{run.status}, from step {run.parent_step}" if is_child else run.status
