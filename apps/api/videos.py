"""Films: list them, show one, serve its file and its poster."""

from typing import Any

from asgiref.sync import sync_to_async
from django.http import Http404, HttpRequest, HttpResponseBase
from ninja import Router, Status
from ninja.params.functions import Query

from apps.api import ranges
from apps.api.problems import responses
from apps.api.runs import find_run
from apps.api.schemas.problems import Problem
from apps.api.schemas.videos import VideoDetail, VideoPage
from apps.experiments.listing.pages import Order, page
from apps.experiments.models import Video
from apps.experiments.models.plays import PlayQuerySet
from apps.experiments.statuses import JobStatus
from apps.jobs.verbs import evaluations as verbs

router = Router()

FILE_RESPONSES = {
    "responses": {
        200: {"description": "The whole file"},
        206: {"description": f"The range, cut to {ranges.RANGE_CAP_BYTES} bytes"},
        304: {"description": "Not modified"},
    }
}


def _videos() -> PlayQuerySet[Video]:
    return Video.objects.select_related("run", "evaluation").defer(
        "run__spec", "run__error", "evaluation__result", "evaluation__error"
    )


@router.get("", response=responses({200: VideoPage}))
def list_videos(
    request: HttpRequest,
    run: str = Query("", description="A run's id, prefix of it, name, or latest."),
    algorithm: str = "",
    environment: str = "",
    status: str = Query(
        "completed", description="One or several, by comma; queued,running: what waits."
    ),
    limit: int = Query(50, ge=1, le=200),
    cursor: str = Query("", max_length=1000, description="next_cursor of the page before."),
) -> Any:
    """List films, newest first; those that can be seen, unless other ones are asked for."""
    videos = _videos().with_status(status)
    exact = {"run__algorithm": algorithm, "run__environment": environment}
    videos = videos.filter(**{name: value for name, value in exact.items() if value})
    if run:
        videos = videos.filter(run=find_run(run))
    found = page(videos, Order("created_at", is_descending=True), limit, cursor)
    return {"videos": found.rows, "next_cursor": found.next_cursor}


def find_video(video_id: int) -> Video:
    """Return a film.

    Raises:
        Http404: There is none of that id.
    """
    video = _videos().filter(pk=video_id).first()
    if video is None:
        raise Http404(f"There is no video {video_id}.")
    return video


@router.get("/{int:video_id}", response=responses({200: VideoDetail}))
def get_video(request: HttpRequest, video_id: int) -> Any:
    """Show one film."""
    return find_video(video_id)


@router.post("/{int:video_id}/cancel", response=responses({202: VideoDetail}, is_write=True))
def cancel_video(request: HttpRequest, video_id: int) -> Any:
    """Cancel a film that waits or is made; the evaluation keeps its figures."""
    return Status(202, verbs.cancel_film(find_video(video_id)))


@router.api_operation(
    ["GET", "HEAD"],
    "/{int:video_id}/file",
    url_name="video_file",
    response=responses({416: Problem}),
    openapi_extra=FILE_RESPONSES,
)
async def video_file(request: HttpRequest, video_id: int) -> HttpResponseBase:
    """Serve the MP4; honours Range, If-Range and If-None-Match; `?download` names it as a file."""
    video = await sync_to_async(find_video)(video_id)
    return await _serve(request, video, video.path)


@router.api_operation(
    ["GET", "HEAD"],
    "/{int:video_id}/poster",
    url_name="video_poster",
    response=responses({416: Problem}),
    openapi_extra=FILE_RESPONSES,
)
async def video_poster(request: HttpRequest, video_id: int) -> HttpResponseBase:
    """Serve the still that stands for the film until it plays."""
    video = await sync_to_async(find_video)(video_id)
    return await _serve(request, video, video.poster_path)


async def _serve(request: HttpRequest, video: Video, path: str) -> HttpResponseBase:
    if video.status != JobStatus.COMPLETED:
        raise Http404(f"Video {video.pk} has no file: it is {video.status}. {video.why}".strip())
    try:
        return await ranges.serve(
            request, video.run.directory.path, path, f"{video.run.name}-step-{video.step}"
        )
    except FileNotFoundError:
        raise Http404(f"The file of video {video.pk} is not there any more.") from None
