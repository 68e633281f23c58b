"""The page that starts a run, or checks what would be started."""

from pathlib import Path

from django.conf import settings
from django.contrib import messages
from django.core.files.uploadedfile import TemporaryUploadedFile
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import capfirst
from django.views.decorators.http import require_http_methods

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.dashboard.fields import show_refusals
from apps.dashboard.frame import show
from apps.dashboard.new_run.forms import RunForm
from apps.dashboard.run.actions import REFUSALS
from apps.errors import InvalidSpec
from apps.jobs.verbs import batches, life, weights
from apps.jobs.verbs.naming import Naming
from apps.jobs.verbs.preflight import Busy, preflight
from apps.jobs.verbs.weights import Start
from apps.protocol.preflight import Preflight
from apps.spec.seeds import with_seeds


@require_http_methods(["GET", "HEAD", "POST"])
def new_run(request: HttpRequest) -> HttpResponse:
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
