"""`train_batch`: queue what a YAML file lists, each run once however often it is called."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.plans import counts, plan_as_dict, print_plan, refusals
from apps.cli.progress import wait_for_runs
from apps.cli.verbs import refuse_broken
from apps.experiments.models import Run
from apps.foreign.plain_yaml import MAX_YAML_BYTES
from apps.jobs.verbs import batches
from apps.jobs.verbs.batches import PlannedLine
from apps.jobs.verbs.checking import Asker


class Command(OurCommand):
    help = "Queue the runs that a YAML file lists; those that are there already stay as they are."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE.yaml", type=Path)
        parser.add_argument("--dry-run", action="store_true", help="say what it would do")
        parser.add_argument(
            "--wait",
            action="store_true",
            help="wait until every run of the file is trained and evaluated",
        )

    def run(self, options: dict[str, Any]) -> None:
        text = _text_of(options["file"])
        with batches.one_at_a_time():
            lines = batches.plan(text, shlex.join(sys.argv), Asker.TERMINAL)
            if not options["json"]:
                print_plan(lines)
            refused = sum(bool(line.errors) for line in lines)
            if not options["dry_run"] and not refused:
                batches.carry_out(lines)
        runs = _runs_of(lines)
        if options["wait"] and not options["dry_run"]:
            wait_for_runs(runs, options["json"])
            for run in runs:
                run.refresh_from_db()
        if options["json"]:
            self.print_json(plan_as_dict(lines))
        if refused:
            for refusal in dict.fromkeys(refusals(lines)):  # A grid's lines share their fields.
                self.stderr.write(refusal)
            raise CommandError(f"nothing is queued: {refused} of {len(lines)} lines are refused")
        if not options["json"]:
            told = "would be queued" if options["dry_run"] else "queued"
            self.stdout.write(f"{counts(lines)['new']} runs {told}.")
        if options["wait"]:
            refuse_broken(runs)


def _runs_of(lines: Sequence[PlannedLine]) -> list[Run]:
    found = {run.run.pk: run.run for line in lines for run in line.runs if run.run is not None}
    return [*found.values()]


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise CommandError(f"{path} is longer than {MAX_YAML_BYTES} bytes")
        return path.read_text()
    except OSError as error:
        raise CommandError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise CommandError(f"{path} is not text: {error.reason}") from error
