"""Evaluations of a checkpoint."""

from datetime import datetime
from typing import Any

from ninja import Field, Schema
from pydantic import BaseModel, ConfigDict

from apps.api.schemas.fields import JOB_STATUSES, documented
from apps.experiments.models import Evaluation, Video
from apps.jobs.verbs.waiting import why_play_waits
from apps.spec.evaluation import EVALUATION_BOUNDS


class EvaluationIn(BaseModel):
    """What to evaluate. Unknown fields are refused."""

    model_config = ConfigDict(extra="allow")

    at: str = Field("last", description="last, best, or a step that has a checkpoint.")
    n_episodes: Any = documented("integer", "Default: the run's.", EVALUATION_BOUNDS["n_episodes"])
    seed: Any = documented("integer", "Of the first episode.", EVALUATION_BOUNDS["seed"])
    is_deterministic: Any = documented("boolean", "Whether the policy takes its likeliest action.")
    should_film: Any = documented("boolean", "Whether the episodes are filmed.")
    max_episode_steps: Any = documented(
        "integer", "Where a longer episode is cut.", EVALUATION_BOUNDS["max_episode_steps"]
    )

    def options(self) -> dict[str, Any]:
        """Return the given fields of the evaluation's spec, unknown ones included."""
        return self.model_dump(exclude_unset=True, exclude={"at"})


class EvaluationSummary(Schema):
    id: int
    run: str
    step: int
    status: str = Field(json_schema_extra={"enum": JOB_STATUSES})
    n_episodes: int
    seed: int | None = Field(description="Null: the script of a logged run did not say.")
    is_deterministic: bool | None = Field(description="Null likewise.")
    max_episode_steps: int | None = Field(description="Null likewise.")
    should_film: bool
    return_mean: float | None
    return_std: float | None
    return_min: float | None
    return_max: float | None
    length_mean: float | None
    special: dict[str, str] = Field(
        description="Figures that are null because they are not finite: nan, inf or -inf."
    )
    n_played: int | None = Field(description="Episodes that ended.")
    interrupted: str = Field(description="Why they are fewer than asked for; empty: they are not.")
    error: str = Field(description="Why it failed or was cancelled.")
    video: int | None = Field(description="Id of its film, once it can be seen.")
    video_status: str | None = Field(
        description="What became of its film; null: none is owed.",
        json_schema_extra={"enum": [*JOB_STATUSES, None]},
    )
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None

    @staticmethod
    def resolve_run(evaluation: Evaluation) -> str:
        return evaluation.run_id

    @staticmethod
    def resolve_video(evaluation: Evaluation) -> int | None:
        return evaluation.film.pk if evaluation.film else None

    @staticmethod
    def resolve_video_status(evaluation: Evaluation) -> str | None:
        video: Video | None = getattr(evaluation, "video", None)
        return video.status if video else None


class EvaluationDetail(EvaluationSummary):
    waiting: str = Field(description="Why it waits, and how many go before it.")
    video_waiting: str = Field(description="Likewise its film.")
    film_error: str = Field(description="Why there is no film although one was asked for.")
    result: dict[str, Any] | None = Field(
        description="The result file: episodes, seeds, settings."
    )

    @staticmethod
    def resolve_waiting(evaluation: Evaluation) -> str:
        return why_play_waits(evaluation)

    @staticmethod
    def resolve_video_waiting(evaluation: Evaluation) -> str:
        video: Video | None = getattr(evaluation, "video", None)
        return why_play_waits(video) if video else ""


class EvaluationPage(Schema):
    evaluations: list[EvaluationSummary]
    next_cursor: str | None
