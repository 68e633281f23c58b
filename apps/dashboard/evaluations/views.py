"""Evaluations and films of every run: what is worked on, what waits and why, what came of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.text import capfirst
from django.views.decorators.http import require_POST, require_safe

from apps.dashboard.frame import page_of, show
from apps.dashboard.run.actions import REFUSALS
from apps.experiments.models import Evaluation, Video
from apps.experiments.statuses import PENDING, JobStatus
from apps.jobs.verbs import evaluations
from apps.jobs.verbs.waiting import why_each_waits

QUEUE_SHOWN = 100
LATEST_SHOWN = 25


@dataclass(frozen=True, slots=True)
class Line:
    """One job in the queue.

    Attributes:
        kind: `evaluation` or `film`.
        job: The evaluation or the film.
        evaluation_id: Number of the evaluation, by which either is cancelled.
        waiting: Why it waits, and how many go before it; empty while it is worked on.
    """

    kind: str
    job: Evaluation | Video
    evaluation_id: int | None
    waiting: str


def _lines(kind: str, jobs: Iterable[Evaluation | Video], words: dict[int, str]) -> list[Line]:
    """Return what is worked on and what waits of one kind, in the order of its turns."""
    places = {key: place for place, key in enumerate(words)}
    return [
        Line(
            kind,
            job,
            job.pk if isinstance(job, Evaluation) else job.evaluation_id,
            words.get(job.pk, ""),
        )
        for job in sorted(jobs, key=lambda job: (places.get(job.pk, -1), job.created_at))
    ]


def _queue() -> dict[str, Any]:
    evaluated = Evaluation.objects.filter(status__in=PENDING).select_related("run")
    filmed = Video.objects.filter(status__in=PENDING).select_related("run")
    lines = [
        *_lines("evaluation", evaluated.defer("run__spec"), why_each_waits(Evaluation)),
        *_lines("film", filmed.defer("run__spec"), why_each_waits(Video)),
    ]
    lines.sort(
        key=lambda line: line.job.status != JobStatus.RUNNING
    )  # What waits keeps its order.
    return {"lines": lines[:QUEUE_SHOWN], "more_count": max(len(lines) - QUEUE_SHOWN, 0)}


@require_safe
def evaluation_list(request: HttpRequest) -> HttpResponse:
    ended = Evaluation.objects.exclude(status__in=PENDING)
    rows = ended.select_related("run", "video").defer("result", "run__spec")
    page = page_of(request, rows, LATEST_SHOWN)
    return show(request, "dashboard/evaluations/page.html", "Evaluations", page=page, **_queue())


@require_safe
def queue(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard/evaluations/_queue.html", _queue())


@require_POST
def cancel(request: HttpRequest, evaluation_id: int) -> HttpResponse:
    """Cancel an evaluation, or its film, and go back to where the button was."""
    try:
        done = evaluations.cancel(evaluations.find_evaluation(evaluation_id))
    except evaluations.JobNotFound as error:
        raise Http404(str(error)) from error
    except REFUSALS as refused:
        messages.error(request, capfirst(str(refused)))
    else:
        what = "evaluation" if done.status == JobStatus.CANCELLED else "film"
        messages.success(
            request, f"Cancelled: the {what} of {done.run.name} at step {done.step:,}."
        )
    back = request.POST.get("next", "")
    is_ours = url_has_allowed_host_and_scheme(back, allowed_hosts={request.get_host()})
    return redirect(back if is_ours else "evaluation-list")
