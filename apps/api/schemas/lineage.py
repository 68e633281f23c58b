"""Runs that come out of another one."""

from typing import Any, Literal

from ninja import Field, Schema
from pydantic import BaseModel, ConfigDict

from apps.api.schemas.fields import WholeNumber, name_field
from apps.api.schemas.runs import RunSummary
from apps.spec.fields import BOUNDS


class ContinueIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    more_timesteps: WholeNumber = Field(ge=1, le=BOUNDS["total_timesteps"][1])
    schedules: Literal["keep", "stretch"] = Field(
        "keep", description="Schedules stay where they ended, or run over the new length."
    )


class BranchIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    at: str = Field("last", description="last, best or a step that has a checkpoint.")
    changes: dict[str, Any] = Field(
        default_factory=dict,
        description="Fields of the spec; hyperparameters and normalize replace single values.",
    )
    schedules: Literal["", "keep", "stretch"] = Field(
        "",
        description="Schedules keep the parent's length, or run over the branch's; empty: they "
        "keep it, unless a hyperparameter that makes one is changed.",
    )
    name: Any = name_field("run", "Empty: made from the parent's.")
    experiment: Any = name_field("experiment", "Empty: the parent's.")


class Lineage(Schema):
    parent: RunSummary | None
    file_name: str = Field(description="The model file that it was imported from, else empty.")
    children: list[RunSummary]
