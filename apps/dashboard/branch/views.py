"""The page that branches a run: another spec from one of its checkpoints."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.text import capfirst
from django.views.decorators.http import require_http_methods

from apps.dashboard.branch.forms import BranchForm
from apps.dashboard.fields import show_refusals
from apps.dashboard.frame import show
from apps.dashboard.run.actions import REFUSALS, refuse_logged, tell_passed_over
from apps.errors import InvalidSpec
from apps.experiments.models import Run
from apps.jobs.verbs import lineage
from apps.jobs.verbs.naming import Naming


@require_http_methods(["GET", "HEAD", "POST"])
def branch(request: HttpRequest, run_id: str) -> HttpResponse:
    """Show the form; its answer launches a branch, or shows every refusal beside its field."""
    parent = get_object_or_404(Run.objects.select_related("experiment"), pk=run_id)
    if refusal := refuse_logged(request, parent, "branched"):
        return refusal
    if request.method != "POST":
        return _open(request, parent)
    form = BranchForm(parent, request.POST)
    if not form.is_valid():
        return _show_form(request, form, status=422)
    named = form.cleaned_data["name"], form.cleaned_data["experiment"]
    try:
        naming = Naming(*named, command=f"POST {request.path}")
        run = lineage.branch(
            parent,
            form.cleaned_data["at"],
            form.changes(),
            naming,
            form.cleaned_data["schedules"],
        )
    except InvalidSpec as refused:
        show_refusals(form, refused)
        return _show_form(request, form, status=422)
    except REFUSALS as refused:
        form.add_error(None, capfirst(str(refused)))
        return _show_form(request, form, status=409)
    messages.success(request, f"Queued: {run.name}.")
    tell_passed_over(request, run)
    return redirect("run", run.pk)


def _open(request: HttpRequest, parent: Run) -> HttpResponse:
    """Show an empty form, or say why there is nothing to fill in."""
    at = request.GET.get("at", "last")
    form = BranchForm(parent, at=at)
    if parent.is_active:
        messages.error(request, f"It is {parent.status}; stop or pause it first, then branch.")
        return redirect("run", parent.pk)
    if not form.steps:
        messages.error(request, "It has no checkpoint to branch from yet.")
        return redirect("run", parent.pk)
    if not form.has_asked_checkpoint:
        messages.warning(request, f"It has no checkpoint {at[:20]}; the last one is chosen.")
    return _show_form(request, form)


def _show_form(request: HttpRequest, form: BranchForm, status: int = 200) -> HttpResponse:
    title = f"Branch of {form.run.name}"
    return show(request, "dashboard/branch/page.html", title, status, form=form, run=form.run)
