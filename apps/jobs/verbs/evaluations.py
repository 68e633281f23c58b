"""The verbs about evaluations and films that wait or are worked on: find one, cancel it."""

from collections.abc import Mapping
from typing import Any

from django.db import transaction

from apps.experiments.models import Checkpoint, Evaluation, Run, Video
from apps.jobs import rows
from apps.jobs.tasks import work_on_evaluations
from apps.jobs.verbs.refusals import Refused, refuse_logged
from apps.spec.evaluation import EvalSpec, default_evaluation_seed

BY_USER = f"{rows.CANCELLED} by its user."


class JobNotFound(Exception):
    """No evaluation or film has the number that was asked for."""


def find_evaluation(number: str | int) -> Evaluation:
    """Return the evaluation of a number.

    Raises:
        JobNotFound: There is none.
    """
    found = None
    if str(number).isdecimal() and len(str(number)) < 19:
        known = Evaluation.objects.select_related("run__experiment", "video")
        found = known.filter(pk=int(number)).first()
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
    rows.withdraw_film(video)
    return video


def cancel_all(run: Run) -> None:
    """Cancel every evaluation and film of a run that waits or is worked on."""
    reason = f"{rows.CANCELLED}: its run was deleted."
    for job in (*run.evaluations.pending(), *run.videos.pending()):
        job.cancel(reason)


def evaluate(run: Run, at: str = "last", options: Mapping[str, Any] | None = None) -> Evaluation:
    """Queue an evaluation of a checkpoint of a run.

    Args:
        run: The run.
        at: `last`, `best` or a step that has a checkpoint.
        options: Fields of `EvalSpec`; missing ones take the run's own or the defaults.

    Raises:
        Refused: There is no such checkpoint.
        InvalidSpec: An option is refused.
    """
    refuse_logged(run, "evaluated")
    defaults = {
        "n_episodes": run.spec.get("eval_episodes", 5),
        "seed": default_evaluation_seed(run.spec["seed"]),
    }
    spec = EvalSpec.from_dict({**defaults, **(options or {})})
    evaluation = Evaluation.objects.ask(run, checkpoint_at(run, at).step, spec)
    transaction.on_commit(work_on_evaluations)
    return evaluation


def checkpoint_at(run: Run, at: str) -> Checkpoint:
    """Return a run's checkpoint by `last`, `best` or its step.

    Raises:
        Refused: There is none; the message lists those that are.
    """
    checkpoints = run.checkpoints.order_by("step")
    if at == "best":
        found = checkpoints.filter(is_best=True).last() or checkpoints.last()
    elif at == "last":
        found = checkpoints.last()
    else:
        found = checkpoints.filter(step=int(at)).first() if at.isdecimal() else None
    if found is None:
        steps = ", ".join(str(step) for step in checkpoints.values_list("step", flat=True))
        have = f"it has checkpoints at {steps}" if steps else "it has no checkpoint yet"
        raise Refused(f"run {run.pk} has no checkpoint {at!r}: {have}; write best, last or a step")
    return found
