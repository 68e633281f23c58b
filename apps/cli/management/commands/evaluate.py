"""`evaluate`: play a checkpoint of a run, and film it."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.cli.command import Command as OurCommand
from apps.cli.option_parser import whole
from apps.cli.plays import evaluate_here, film_here
from apps.cli.shapes import evaluation_as_dict, told_number
from apps.experiments.models import Evaluation, Run
from apps.experiments.statuses import JobStatus
from apps.jobs.verbs import evaluations
from apps.text.names import one_line


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
        evaluation = evaluations.evaluate(Run.objects.resolve(text), at or "last", asked)
        evaluate_here(evaluation)
        if evaluation.status != JobStatus.COMPLETED:
            raise CommandError(f"the evaluation is {evaluation.status}: {evaluation.error}")
        if not options["json"]:  # The figures first: they wait for no film.
            self.stdout.write(_figures(evaluation))
            self.stdout.flush()
        film_here(evaluation)
        result = evaluation_as_dict(evaluation)
        if options["json"]:
            self.print_json(result)
        elif result["video"]:
            cut = f" ({result['video_cut']})" if result["video_cut"] else ""
            self.stdout.write(f"film: {result['video']}{cut}")
        elif evaluation.film_error:
            self.stdout.write(f"no film: {one_line(evaluation.film_error)}")


def _figures(evaluation: Evaluation) -> str:
    played = evaluation.n_played or evaluation.n_episodes
    noun = "episode" if played == 1 else "episodes"
    told = f"; {evaluation.interrupted}" if evaluation.interrupted else ""
    return (
        f"step {evaluation.step:,}: mean return {told_number(evaluation, 'return_mean')} "
        f"± {told_number(evaluation, 'return_std')} over {played} {noun}{told}"
    )
