"""`cancel`: cancel an evaluation, or the film of one."""

from typing import Any

from django.core.management.base import CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.shapes import evaluation_as_dict
from apps.experiments.statuses import JobStatus
from apps.jobs.verbs.evaluations import cancel, find_evaluation


class Command(OurCommand):
    help = "Cancel an evaluation that waits or plays, or its film when its figures are there."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "evaluation", metavar="EVALUATION", help="its number; `evaluations` lists them"
        )

    def run(self, options: dict[str, Any]) -> None:
        evaluation = cancel(find_evaluation(options["evaluation"]))
        if options["json"]:
            self.print_json(evaluation_as_dict(evaluation))
            return
        is_film = evaluation.status != JobStatus.CANCELLED
        what = "the film of evaluation" if is_film else "evaluation"
        self.stdout.write(f"{what} {evaluation.pk} is cancelled")
