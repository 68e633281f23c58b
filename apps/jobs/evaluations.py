"""The verbs about evaluations and films that wait or are worked on: find one, cancel it."""

from apps.experiments.models import Evaluation, Run, Video
from apps.jobs import bookkeeping
from apps.jobs.control import Refused

BY_USER = f"{bookkeeping.CANCELLED} by its user."


class JobNotFound(Exception):
    """No evaluation or film has the number that was asked for."""


def find_evaluation(number: str | int) -> Evaluation:
    """Return the evaluation of a number.

    Raises:
        JobNotFound: There is none.
    """
    found = None
    if str(number).isdecimal() and len(str(number)) < 19:
        rows = Evaluation.objects.select_related("run__experiment", "video")
        found = rows.filter(pk=int(number)).first()
    if found is None:
        raise JobNotFound(f"there is no evaluation {str(number)[:40]!r}; `evaluations` lists them")
    return found


def cancel(evaluation: Evaluation) -> Evaluation:
    """Cancel what is left to do of an evaluation: itself, or its film when its figures are there.

    Raises:
        Refused: Nothing of it waits or is worked on.
    """
    if evaluation.cancel(BY_USER):
        return evaluation
    video: Video | None = getattr(evaluation, "video", None)
    if video is None or not video.is_pending:
        filmed = f", and its film is {video.status}" if video else ""
        raise Refused(
            f"evaluation {evaluation.pk} is {evaluation.status}{filmed}; only what waits or is "
            "worked on can be cancelled"
        )
    cancel_film(video)
    return evaluation


def cancel_film(video: Video) -> Video:
    """Cancel a film that waits or is made; the evaluation keeps its figures.

    Raises:
        Refused: It neither waits nor is made.
    """
    if not video.cancel(BY_USER):
        raise Refused(
            f"video {video.pk} is {video.status}; only one that waits or is made can be cancelled"
        )
    bookkeeping.withdraw_film(video)
    return video


def cancel_all(run: Run) -> None:
    """Cancel every evaluation and film of a run that waits or is worked on."""
    reason = f"{bookkeeping.CANCELLED}: its run was deleted."
    for job in (*run.evaluations.pending(), *run.videos.pending()):
        job.cancel(reason)
