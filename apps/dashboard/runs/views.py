"""The list of runs."""

from collections.abc import Sequence
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.dashboard.frame import show
from apps.dashboard.runs.forms import COUNTED, RunListForm
from apps.experiments.groups import groups_of
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs.verbs.waiting import why_runs_wait


@require_safe
def run_list(request: HttpRequest) -> HttpResponse:
    form = RunListForm(request.GET)
    page = form.page(request.GET.get("cursor", ""))
    experiment = form.cleaned_data.get("experiment")
    return show(
        request,
        "dashboard/runs/page.html",
        "Runs",
        form=form,
        page=page,
        sort=str(form.sorting),
        counted=COUNTED,
        groups=groups_of(experiment) if experiment else [],
        **_queue(page.rows),
    )


def _queue(runs: Sequence[Run]) -> dict[str, Any]:
    """Return why the page's queued runs wait, and the place of each in the queue."""
    if not any(run.status == RunStatus.QUEUED for run in runs):
        return {"why_runs_wait": "", "places": {}}
    places = {}
    # The order is told by going through the whole queue; of a long one, each run's page tells it.
    if Run.objects.filter(status=RunStatus.QUEUED)[: COUNTED + 1].count() <= COUNTED:
        places = {run_id: place for place, run_id in enumerate(Run.objects.in_turn(), 1)}
    return {"why_runs_wait": why_runs_wait(), "places": places}
