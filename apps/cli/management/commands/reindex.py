"""`reindex`: rebuild the database's rows from the run directories."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.command import migrate_if_needed
from apps.jobs.verbs import rebuild, reindex
from apps.text.names import one_line


class Command(OurCommand):
    help = "Rebuild the rows from the run directories, which are the truth."
    needs_database = False  # With --fresh it may be damaged.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--fresh",
            action="store_true",
            help="build a new database, beside the old or damaged one, which is kept",
        )

    def run(self, options: dict[str, Any]) -> None:
        if options["fresh"]:
            report, kept = rebuild.rebuild(migrate_if_needed)
        else:
            migrate_if_needed()
            report, kept = reindex.reindex(), None
        if options["json"]:
            told = {"kept": str(kept) if kept else None} if options["fresh"] else {}
            self.print_json({"runs": report.runs, "refused": report.refused, **told})
        else:
            if kept:
                self.stdout.write(f"the database that was there is kept as {kept}")
            if options["fresh"]:
                self.stdout.write(f"not in the new one: {rebuild.LOST}")
            self.stdout.write(f"{len(report.runs)} runs rebuilt from {reindex.runs_root()}")
        if report.refused:
            listed = "; ".join(
                one_line(f"{name}: {reason}") for name, reason in report.refused.items()
            )
            raise CommandError(f"{len(report.refused)} directories could not be read: {listed}")
