"""Films of evaluations."""

from datetime import datetime
from pathlib import PurePosixPath

from django.urls import reverse
from ninja import Field, Schema

from apps.api.schemas.fields import JOB_STATUSES
from apps.experiments.models import Video
from apps.jobs.verbs.waiting import why_play_waits


def _named_by_content(operation: str, video: Video, path: str) -> str | None:
    """Return an address that a browser may keep for ever, though ids change with a new index."""
    if not path:
        return None
    return f"{reverse(operation, args=[video.pk])}?v={video.run_id}-{PurePosixPath(path).stem}"


class VideoOut(Schema):
    id: int
    run: str
    run_name: str
    algorithm: str
    environment: str
    evaluation: int | None
    step: int
    return_mean: float | None
    status: str = Field(json_schema_extra={"enum": JOB_STATUSES})
    error: str = Field(description="Why there is none; empty when there is, or may be.")
    cut: str = Field(description="What of its evaluation it does not show.")
    duration_s: float | None = Field(description="Null, as all that follow, until it is made.")
    width: int | None
    height: int | None
    size_bytes: int | None
    created_at: datetime
    file_url: str | None
    poster_url: str | None

    @staticmethod
    def resolve_error(video: Video) -> str:
        return video.why

    @staticmethod
    def resolve_run(video: Video) -> str:
        return video.run_id

    @staticmethod
    def resolve_run_name(video: Video) -> str:
        return video.run.name

    @staticmethod
    def resolve_algorithm(video: Video) -> str:
        return video.run.algorithm

    @staticmethod
    def resolve_environment(video: Video) -> str:
        return video.run.environment

    @staticmethod
    def resolve_evaluation(video: Video) -> int | None:
        return video.evaluation_id

    @staticmethod
    def resolve_return_mean(video: Video) -> float | None:
        return video.evaluation.return_mean if video.evaluation else None

    @staticmethod
    def resolve_file_url(video: Video) -> str | None:
        return _named_by_content("api:video_file", video, video.path)

    @staticmethod
    def resolve_poster_url(video: Video) -> str | None:
        return _named_by_content("api:video_poster", video, video.poster_path)


class VideoDetail(VideoOut):
    waiting: str = Field(description="Why it waits, and how many go before it.")

    @staticmethod
    def resolve_waiting(video: Video) -> str:
        return why_play_waits(video)


class VideoPage(Schema):
    videos: list[VideoOut]
    next_cursor: str | None
