"""What a run's log holds: curves, events and episodes."""

from typing import Any, Literal

from ninja import Field, Schema
from pydantic import ConfigDict, create_model

from apps.analysis.axes import Axis


class Series(Schema):
    steps: list[int]
    values: list[float | None]
    times: list[float] = Field(description="Unix seconds.")
    special: dict[str, Literal["nan", "inf", "-inf"]] = Field(
        {},
        description="Index of a value that is null, and what it was; absent when there is none.",
    )
    n_raw: int
    downsampled: bool
    xs: list[float] | None = Field(
        None, description="Places on another axis than steps; absent along steps."
    )
    smoothed: list[float | None] | None = Field(
        None, description="What smoothing makes of all points, at these; absent without."
    )


class Superseded(Series):
    attempt: int = Field(description="The attempt that logged these points.")


class SeriesOfRun(Series):
    superseded: list[Superseded] | None = Field(
        None, description="Points that a later attempt started over; absent unless asked for."
    )


class Resumption(Schema):
    attempt: int
    step: int = Field(description="Where the attempt went on.")
    x: float = Field(description="The same on the axis.")
    pause_s: float = Field(description="Seconds that nothing trained before it.")


class Metrics(Schema):
    cursor: int = Field(description="Where a stream goes on without a gap.")
    keys: list[str] = Field(description="Every key that the log holds.")
    n_raw: int
    n_sent: int
    downsampled: bool
    axis: Axis
    resumptions: list[Resumption]
    series: dict[str, SeriesOfRun]


class Delta(Schema):
    cursor: int
    events: list[dict[str, Any]]
    has_more: bool = Field(description="Ask again with this cursor at once.")


class _EpisodeFields(Schema):
    model_config = ConfigDict(extra="allow")

    step: int
    t: float = Field(description="Unix seconds.")
    length: int
    env: int | None = Field(None, description="Which parallel environment.")
    special: dict[str, Literal["nan", "inf", "-inf"]] | None = Field(
        None, description="What a return of null was."
    )


# No class can have an attribute of this name.
Episode = create_model("Episode", __base__=_EpisodeFields, **{"return": (float | None, Field())})  # type: ignore[call-overload]


class EpisodePage(Schema):
    episodes: list[Episode]  # type: ignore[valid-type]
    next_cursor: str | None = Field(description="Null at the present end of the log.")
