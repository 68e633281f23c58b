"""Videos of every run, the newest first."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from apps.dashboard.frame import page_of, show
from apps.experiments.models import Video


def latest_video() -> Video | None:
    """Return the newest film."""
    return Video.objects.finished().select_related("run", "evaluation").first()


@require_safe
def video_list(request: HttpRequest) -> HttpResponse:
    videos = Video.objects.finished().select_related("run", "evaluation")
    page = page_of(request, videos, size=24)
    return show(request, "dashboard/videos/page.html", "Videos", page=page)


@require_safe
def latest(request: HttpRequest) -> HttpResponse:
    """Show the latest film, or nothing new (204) when the page has it already."""
    latest = latest_video()
    if str(latest.pk if latest else "") == request.GET.get("known", ""):
        return HttpResponse(status=204)
    return render(request, "dashboard/videos/_latest.html", {"video": latest})
