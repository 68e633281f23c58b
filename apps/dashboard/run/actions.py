"""The buttons of a run: each calls one verb, tells what came of it, and goes back to a page."""

from collections.abc import Callable

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.text import capfirst
from django.views.decorators.http import require_POST

from apps.dashboard.run.forms import ContinueForm, EvaluateForm
from apps.dashboard.templatetags.instruments import UNDO_TAG
from apps.errors import DamagedCheckpoint, DiskFull, InvalidSpec, RunDirectoryError
from apps.experiments.models import Run
from apps.experiments.statuses import IllegalMove
from apps.jobs.verbs import evaluations, life, lineage, records, refusals

REFUSALS = (
    refusals.Refused,
    IllegalMove,
    InvalidSpec,
    RunDirectoryError,
    DamagedCheckpoint,
    DiskFull,
)


def _try(request: HttpRequest, verb: Callable[[], object], success: str) -> bool:
    """Call a verb and tell the reader what came of it; whether it was done."""
    try:
        verb()
    except REFUSALS as refused:
        messages.error(request, capfirst(str(refused)))
        return False
    messages.success(request, success)
    return True


def refuse_logged(request: HttpRequest, run: Run, what: str) -> HttpResponse | None:
    """Tell what a run that a script outside logs cannot be; None for others, which may be it.

    Before any form is read: such a run has no spec that it could be filled in from.
    """
    if not run.is_logged:
        return None
    _try(request, lambda: refusals.refuse_logged(run, what), "")
    return redirect("run", run.pk)


def _make(request: HttpRequest, parent: Run, verb: Callable[[], Run]) -> HttpResponse:
    """Call a verb that makes a run of another one, and go to the new one."""
    try:
        run = verb()
    except REFUSALS as refused:
        messages.error(request, capfirst(str(refused)))
        return redirect("run", parent.pk)
    messages.success(request, f"Queued: {run.name}.")
    tell_passed_over(request, run)
    return redirect("run", run.pk)


def tell_passed_over(request: HttpRequest, run: Run) -> None:
    """Tell what a verb had to say of a run that now waits: which checkpoints it passed over."""
    if run.status_reason:
        messages.warning(request, run.status_reason)


def _tell_errors(request: HttpRequest, form: forms.Form) -> None:
    """Tell what a form that has no page of its own refuses."""
    for name, errors in form.errors.items():
        label = form.fields[name].label or name
        messages.error(request, f"{label}: {' '.join(map(str, errors))}")


@require_POST
def start(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    _try(request, lambda: life.queue(run), f"Queued: {run.name}.")
    return redirect("run", run_id)


@require_POST
def stop(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    _try(request, lambda: life.stop(run), f"Asked to stop: {run.name}.")
    return redirect("run", run_id)


@require_POST
def save(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    _try(request, lambda: life.save(run), f"Asked to save: {run.name}.")
    return redirect("run", run_id)


@require_POST
def prioritise(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    priority = request.POST.get("priority", "")
    _try(request, lambda: life.set_priority(run, priority), f"Priority {priority}: {run.name}.")
    return redirect("run", run_id)


@require_POST
def pause(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    _try(request, lambda: life.pause(run), f"Asked to pause: {run.name}.")
    return redirect("run", run_id)


@require_POST
def resume(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    if _try(request, lambda: lineage.resume(run), f"Queued to go on: {run.name}."):
        tell_passed_over(request, run)
    return redirect("run", run_id)


@require_POST
def retry(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    return _make(request, run, lambda: lineage.retry(run, f"POST {request.path}"))


@require_POST
def reproduce(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    return _make(request, run, lambda: lineage.reproduce(run, f"POST {request.path}"))


@require_POST
def continue_run(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    if refusal := refuse_logged(request, run, "continued"):
        return refusal
    form = ContinueForm(run, request.POST)
    if not form.is_valid():
        _tell_errors(request, form)
        return redirect("run", run_id)
    steps = form.cleaned_data["more_timesteps"]
    how = form.cleaned_data["schedules"] or "keep"
    command = f"POST {request.path}"
    return _make(request, run, lambda: lineage.continue_run(run, steps, command, how))


@require_POST
def evaluate(request: HttpRequest, run_id: str) -> HttpResponse:
    run = get_object_or_404(Run, pk=run_id)
    if refusal := refuse_logged(request, run, "evaluated"):
        return refusal
    form = EvaluateForm(run, request.POST)
    if form.is_valid():
        at = form.cleaned_data["at"]
        _try(
            request,
            lambda: evaluations.evaluate(run, at, form.options()),
            f"An evaluation of the {at} checkpoint is queued."
            if at in {"best", "last"}
            else f"An evaluation of step {at} is queued.",
        )
    else:
        _tell_errors(request, form)
    return redirect("run", run_id)


@require_POST
def delete(request: HttpRequest, run_id: str) -> HttpResponse:
    """Move a run to the trash; the message that says so can undo it."""
    run = get_object_or_404(Run, pk=run_id)
    try:
        records.delete(run)
    except REFUSALS as refused:
        messages.error(request, capfirst(str(refused)))
        return redirect("run", run_id)
    messages.success(request, f"Moved to the trash: {run.name}.", extra_tags=UNDO_TAG + run_id)
    return redirect("run-list")


@require_POST
def restore(request: HttpRequest, run_id: str) -> HttpResponse:
    if _try(request, lambda: records.restore(run_id), "The run is back."):
        return redirect("run", run_id)
    return redirect("run-list")
