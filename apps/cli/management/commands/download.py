"""`download`: take a trained model out, with all that it takes to load it elsewhere."""

from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from apps.cli.command import Command as OurCommand
from apps.experiments.models import Run
from apps.jobs.verbs import downloads


class Command(OurCommand):
    help = "Write a checkpoint's model, statistics and a script that loads them into a folder."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN[@best|@last|@STEP]")
        parser.add_argument(
            "-o", dest="folder", metavar="DIR", type=Path, help="default: RUN-STEP here"
        )

    def run(self, options: dict[str, Any]) -> None:
        text, _, at = options["run"].partition("@")
        run = Run.objects.resolve(text)
        step = downloads.download(run, at or "last").checkpoint.step
        folder = options["folder"] or Path(f"{run.pk}-{step}")
        paths = downloads.save_into(run, str(step), folder)
        if options["json"]:
            self.print_json({"run": run.pk, "step": step, "files": [str(path) for path in paths]})
            return
        for path in paths:
            self.stdout.write(str(path))
        self.stdout.write(f"python {folder / 'load.py'} plays it")
