"""The list of runs, and the form that starts one."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import capfirst
from django.views.decorators.http import require_http_methods, require_safe

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.dashboard.frame import show
from apps.dashboard.new_run.forms import RunForm, show_refusals
from apps.dashboard.run.actions import REFUSALS
from apps.dashboard.runs.forms import COUNTED, RunListForm
from apps.errors import InvalidSpec
from apps.experiments.groups import groups_of
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs.verbs import batches, life, weights
from apps.jobs.verbs.naming import Naming
from apps.jobs.verbs.preflight import Busy, preflight
from apps.jobs.verbs.waiting import why_runs_wait
from apps.jobs.verbs.weights import Start
from apps.protocol.preflight import Preflight
from apps.spec.seeds import with_seeds


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


@require_http_methods(["GET", "HEAD", "POST"])
def run_new(request: HttpRequest) -> HttpResponse:
    """Show the form; its answer launches runs, or shows every refusal beside its field."""
    if request.method != "POST":
        return _show_form(request, RunForm(initial=request.GET.dict()))
    form = RunForm(request.POST, files=request.FILES)
    if "check" in request.POST:
        return _check(request, form)
    if not form.is_valid():
        return _show_form(request, form, status=422)
    try:
        names = Naming(
            form.cleaned_data["name"],
            form.cleaned_data["experiment"],
            f"POST {request.path}",
            life.check_priority(form.cleaned_data["priority"] or 0),
        )
        start = _start_of(form)
        spec = weights.check_spec(form.spec_data(), start)
        specs = with_seeds(spec, form.cleaned_data["seeds"] or 1)
        runs = batches.launch_all(specs, names, origin=start.origin if start else None)
    except InvalidSpec as refused:
        show_refusals(form, refused)
        return _show_form(request, form, status=422)
    except REFUSALS as refused:
        form.add_error(None, capfirst(str(refused)))
        return _show_form(request, form, status=409)
    if len(runs) == 1:
        messages.success(request, f"Queued: {runs[0].name}.")
        return redirect("run", runs[0].pk)
    messages.success(request, f"Queued: {runs[0].name} to {runs[-1].name}.")
    return redirect(f"{reverse('run-list')}?experiment={runs[0].experiment_id}")


def _start_of(form: RunForm) -> Start | None:
    """Return the weights that a form names to start from, None when it names none."""
    file: TemporaryUploadedFile | None = form.cleaned_data["file"]
    path = Path(file.temporary_file_path()) if file else None
    return weights.given(form.cleaned_data["init"], path, str(file.name) if file else "")


def _check(request: HttpRequest, form: RunForm) -> HttpResponse:
    """Check what the form says; a script asks for the result alone, else the page comes again."""
    result = None
    try:
        if form.is_valid():
            result = preflight(form.spec_data(), _start_of(form))
    except InvalidSpec as refused:
        show_refusals(form, refused)
    except Busy as busy:
        form.add_error(None, str(busy))
    if request.headers.get("HX-Request"):
        context = {"form": form, "result": result}
        return render(request, "dashboard/new_run/_preflight.html", context)
    return _show_form(request, form, 422 if form.errors else 200, result)


def _show_form(
    request: HttpRequest, form: RunForm, status: int = 200, result: Preflight | None = None
) -> HttpResponse:
    return show(
        request,
        "dashboard/new_run/page.html",
        "New run",
        status,
        form=form,
        algorithms=ALGORITHMS.values(),
        result=result,
        check_limit_s=settings.CHECK_LIMIT_S,
    )
