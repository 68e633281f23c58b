"""What every command shares: a ready database, `--json`, errors as one plain line and exit 1."""

import argparse
import sys
from typing import Any, Literal

import orjson
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.accounts.models import CredentialError
from apps.cli.option_parser import refusing
from apps.errors import EngineError
from apps.experiments.models import RunNotFound
from apps.experiments.statuses import IllegalMove
from apps.jobs.checks import OURS
from apps.jobs.soundness import UNUSABLE, in_words
from apps.jobs.verbs.evaluations import JobNotFound
from apps.jobs.verbs.refusals import Refused
from apps.jobs.worker.stack import StackFailed
from apps.text.names import lines, one_line, one_line_json

REFUSALS = (
    CredentialError,
    EngineError,
    IllegalMove,
    JobNotFound,
    RunNotFound,
    Refused,
    StackFailed,
)


class Command(BaseCommand):
    """A command of ours; subclasses write `run`."""

    has_json = True
    needs_database = True
    # Django's own look at addresses and templates, and build every schema of REST for it: a third
    # of a command's processor time. `manage.py check` runs them, and `up` before it serves.
    requires_system_checks: tuple[str, ...] | Literal["__all__"] = (OURS,)

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        options = {"formatter_class": argparse.HelpFormatter, "add_help": False, **kwargs}
        parser = super().create_parser(prog_name, subcommand, **options)
        if self.has_json:
            parser.add_argument("--json", action="store_true", help="print JSON and nothing else")
        return refusing(parser)

    def run_from_argv(self, argv: list[str]) -> None:
        """Run from a command line, where refused options are an error as any other."""
        try:
            super().run_from_argv(argv)
        except CommandError as error:  # Django reads options before it looks for errors.
            self.stderr.write(f"CommandError: {error}")
            sys.exit(error.returncode)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except BrokenPipeError:  # Whoever read what is printed has seen enough.
            raise
        except UNUSABLE as error:
            raise CommandError(in_words(error)) from error

    def handle(self, *args: Any, **options: Any) -> None:
        if self.needs_database:
            migrate_if_needed()
        try:
            self.run(options)
        except CommandError as error:
            raise CommandError(lines(str(error)), returncode=error.returncode) from error
        except REFUSALS as error:
            raise CommandError(lines(str(error))) from error

    def run(self, options: dict[str, Any]) -> None:
        raise NotImplementedError

    def note(self, text: str) -> None:
        """Tell something that is no result, beside what is printed."""
        self.stderr.write(f"note: {one_line(text)}")

    def print_json(self, value: Any) -> None:
        text = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
        self.stdout.write(one_line_json(text))


def migrate_if_needed() -> None:
    """Bring the database up to date, so that any command may be a user's first."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", verbosity=0)
