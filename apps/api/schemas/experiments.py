"""Experiments: a name, and what is expected of its runs."""

from datetime import datetime
from typing import Any

from ninja import Schema
from pydantic import BaseModel, ConfigDict

from apps.api.schemas.fields import name_field


class ExperimentIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Any = name_field("experiment", "What runs join it by.", ..., minLength=1)
    hypothesis: Any = name_field("hypothesis", "What you expect to see, and why.")


class ExperimentChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hypothesis: Any = name_field("hypothesis", "What you expect to see, and why.", ...)


class ExperimentOut(Schema):
    id: int
    name: str
    hypothesis: str
    n_runs: int
    created_at: datetime


class ExperimentPage(Schema):
    experiments: list[ExperimentOut]
    next_cursor: str | None
