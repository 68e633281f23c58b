"""Evaluations and films in a terminal: carried out here, unless a worker was faster."""

from apps.cli.progress import wait_for_play
from apps.experiments.models import Evaluation, Video
from apps.experiments.models.leases import TERMINAL
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.worker import plays, supervisor


def evaluate_here(evaluation: Evaluation) -> None:
    """Carry out a queued evaluation; returns when it has ended, here or in a worker."""
    if evaluation.claim(supervisor.new_owner(TERMINAL)):
        plays.supervise_evaluation(evaluation, TrainerProcess(*TRAINER))
    else:
        wait_for_play(evaluation)


def film_here(evaluation: Evaluation) -> None:
    """Make the film that an evaluation owes, if it owes one."""
    video = Video.objects.filter(evaluation=evaluation).first()
    if video is None:
        return
    if video.claim(supervisor.new_owner(TERMINAL)):
        plays.supervise_film(video, TrainerProcess(*TRAINER))
    else:
        wait_for_play(video)
    evaluation.refresh_from_db()
