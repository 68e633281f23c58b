"""The dashboard: what runs now, how to start something, what came of the last runs."""

from typing import Any

from django.db.models import Count, F, Max, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.frame import page_of, show
from apps.dashboard.new_run.forms import QuickStartForm
from apps.experiments.listing.queries import RunQuerySet
from apps.experiments.models import Experiment, Run, Video
from apps.experiments.statuses import ACTIVE_STATUSES
from apps.jobs.verbs import system

RECENT = 6
ACTIVE_SHOWN = 20


def experiments_for_listing() -> QuerySet[Experiment]:
    """Return experiments with the figures that lists show, newest first."""
    return Experiment.objects.annotate(
        run_count=Count("runs"),
        active_count=Count("runs", filter=Q(runs__status__in=ACTIVE_STATUSES)),
        environment_count=Count("runs__environment", distinct=True),
        environment=Max("runs__environment"),
        evaluation_best=Max("runs__evaluation_best"),
        return_best=Max("runs__return_best"),
        last_run_at=Max("runs__created_at"),
    ).order_by(F("last_run_at").desc(nulls_last=True), "-pk")


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


def latest_video() -> Video | None:
    """Return the newest film."""
    return Video.objects.finished().select_related("run", "evaluation").first()


def _recent() -> dict[str, Any]:
    return {
        "runs": Run.objects.for_listing()[:RECENT],
        "experiments": experiments_for_listing()[:RECENT],
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


@require_safe
def video(request: HttpRequest) -> HttpResponse:
    """Show the latest film, or nothing new (204) when the page has it already."""
    latest = latest_video()
    if str(latest.pk if latest else "") == request.GET.get("known", ""):
        return HttpResponse(status=204)
    return render(request, "dashboard/overview/_latest_video.html", {"video": latest})


@require_safe
def experiment_list(request: HttpRequest) -> HttpResponse:
    page = page_of(request, experiments_for_listing())
    return show(request, "dashboard/experiments/page.html", "Experiments", page=page)


@require_safe
def video_list(request: HttpRequest) -> HttpResponse:
    videos = Video.objects.finished().select_related("run", "evaluation")
    page = page_of(request, videos, size=24)
    return show(request, "dashboard/videos/page.html", "Videos", page=page)
