"""A checkpoint's page: what of it can be downloaded, and how it is loaded elsewhere."""

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.text import capfirst
from django.views.decorators.http import require_safe

from apps.dashboard.frame import show
from apps.experiments.models import Run
from apps.jobs.verbs import downloads
from apps.jobs.verbs.refusals import Refused


@require_safe
def checkpoint(request: HttpRequest, run_id: str, at: str) -> HttpResponse:
    run = get_object_or_404(Run.objects.select_related("experiment"), pk=run_id)
    try:
        found = downloads.download(run, at)
    except Refused as refused:
        messages.error(request, capfirst(f"{refused}."))
        return redirect("run", run.pk)
    title = f"{run.name} at step {found.checkpoint.step:,}"
    return show(
        request,
        "dashboard/checkpoint/page.html",
        title,
        run=run,
        download=found,
        checkpoint=found.checkpoint,
    )
