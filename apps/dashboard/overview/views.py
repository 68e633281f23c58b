"""The dashboard: what runs now, how to start something, what came of the last runs."""

from typing import Any

from django.db.models import F
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.frame import show
from apps.dashboard.overview.forms import QuickStartForm
from apps.dashboard.videos.views import latest_video
from apps.experiments.models import Experiment, Run, RunQuerySet
from apps.jobs.verbs import system

RECENT = 6
ACTIVE_SHOWN = 20


def _active() -> dict[str, Any]:
    runs = active_runs()
    shown = list(runs[:ACTIVE_SHOWN])
    more_count = runs.count() - len(shown) if len(shown) == ACTIVE_SHOWN else 0
    return {"active": shown, "more_count": more_count}


def active_runs() -> RunQuerySet:
    """Return what runs or waits, in the order it began."""
    return (
        Run.objects.for_listing()
        .active()
        .order_by(F("started_at").asc(nulls_last=True), "queued_at")
    )


def _recent() -> dict[str, Any]:
    return {
        "runs": Run.objects.for_listing()[:RECENT],
        "experiments": Experiment.objects.for_listing()[:RECENT],
    }


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    return show(
        request,
        "dashboard/overview/page.html",
        "Dashboard",
        video=latest_video(),
        machine=system.status(),
        quick_start=QuickStartForm(request.GET.dict()),
        **_active(),
        **_recent(),
    )


@require_safe
def active(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard/overview/_active_runs.html", _active())


@require_safe
def recent(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard/overview/_recent.html", _recent())


@require_safe
def machine(request: HttpRequest) -> HttpResponse:
    return render(request, "dashboard/overview/_machine.html", {"machine": system.status()})
