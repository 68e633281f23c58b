"""`reindex`: rebuild the database's rows from the run directories."""

from typing import Any

from django.core.management.base import CommandError

from apps.cli.command import Command as OurCommand
from apps.engine.names import one_line
from apps.jobs import reindexing


class Command(OurCommand):
    help = "Rebuild the rows from the run directories, which are the truth."

    def run(self, options: dict[str, Any]) -> None:
        report = reindexing.reindex()
        if options["json"]:
            self.print_json({"runs": report.runs, "refused": report.refused})
        else:
            self.stdout.write(f"{len(report.runs)} runs rebuilt from {reindexing.runs_root()}")
        if report.refused:
            listed = "; ".join(
                one_line(f"{name}: {reason}") for name, reason in report.refused.items()
            )
            raise CommandError(f"{len(report.refused)} directories could not be read: {listed}")
