"""Experiments, with what came of the runs of each."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.dashboard.frame import page_of, show
from apps.experiments.models import Experiment


@require_safe
def experiment_list(request: HttpRequest) -> HttpResponse:
    page = page_of(request, Experiment.objects.for_listing())
    return show(request, "dashboard/experiments/page.html", "Experiments", page=page)
