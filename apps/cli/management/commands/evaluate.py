"""`evaluate`: play a checkpoint of a run, and film it."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.option_parser import whole
from apps.cli.progress import wait_for_evaluation
from apps.cli.shapes import evaluation_as_dict, number
from apps.experiments.models import JobStatus, Run
from apps.jobs import control, supervisor
from apps.jobs.trainer import TRAINER, TrainerProcess


class Command(OurCommand):
    help = "Evaluate a checkpoint: RUN, RUN@best, RUN@last or RUN@STEP."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("run", metavar="RUN[@best|@last|@STEP]")
        parser.add_argument("-n", dest="n_episodes", type=whole, metavar="N", help="episodes")
        parser.add_argument("--seed", type=whole, help="seed of the first episode")
        parser.add_argument("--stochastic", action="store_true", help="sample actions")
        parser.add_argument("--no-video", action="store_true", help="do not film the episodes")

    def run(self, options: dict[str, Any]) -> None:
        text, _, at = options["run"].partition("@")
        given = {
            "n_episodes": options["n_episodes"],
            "seed": options["seed"],
            "is_deterministic": not options["stochastic"],
            "should_film": not options["no_video"],
        }
        asked = {name: value for name, value in given.items() if value is not None}
        evaluation = control.evaluate(Run.objects.resolve(text), at or "last", asked)
        if evaluation.claim(supervisor.new_owner()):
            supervisor.supervise_evaluation(evaluation, TrainerProcess(*TRAINER))
        else:
            wait_for_evaluation(evaluation)  # A worker was faster.
        if evaluation.status != JobStatus.COMPLETED:
            raise CommandError(f"the evaluation {evaluation.status}: {evaluation.error}")
        result = evaluation_as_dict(evaluation)
        if options["json"]:
            self.print_json(result)
            return
        self.stdout.write(
            f"step {evaluation.step:,}: mean return {number(evaluation.return_mean)} "
            f"± {number(evaluation.return_std)} over {evaluation.n_episodes} episodes"
        )
        if result["video"]:
            self.stdout.write(f"film: {result['video']}")
        elif evaluation.film_error:
            self.stdout.write(f"no film: {evaluation.film_error}")
