"""The JSON of a check before a run; see `schemas` for what all of them have in common."""

from typing import Any

from ninja import Field, Schema

from apps.protocol.preflight import SEVERITIES


class FindingOut(Schema):
    severity: str = Field(json_schema_extra={"enum": [*SEVERITIES]})
    message: str
    action: str = Field(description="What to do, empty where nothing is to be done.")
    field: str = Field(description="The refused field of the spec, empty where it is about none.")


class ScaleOut(Schema):
    name: str
    low: float
    high: float
    mean: float
    std: float


class ProbeOut(Schema):
    steps: int
    steps_per_s: float
    reset_s: float
    reward: ScaleOut | None
    observation: list[ScaleOut] = Field(description="Of the first 64 numbers; of a picture, two.")
    episodes: int
    mean_length: float | None
    mean_return: float | None
    not_finite: str = Field(description="The first number that was NaN or infinite.")
    difference: str = Field(description="Where the same seed and actions gave something else.")
    leak_bytes_per_step: float


class MemoryOut(Schema):
    process_bytes: int
    environments_bytes: int
    networks_bytes: int
    buffer_bytes: int = Field(description="As far as the run fills it.")
    allocated_bytes: int
    free_bytes: int
    total_bytes: int
    needed_bytes: int


class PreflightOut(Schema):
    severity: str = Field(
        description="The gravest of the findings.", json_schema_extra={"enum": [*SEVERITIES]}
    )
    findings: list[FindingOut]
    environment: dict[str, Any] | None = Field(description="What it says of itself.")
    probe: ProbeOut | None = Field(description="What random actions showed.")
    memory: MemoryOut | None
    steps_per_s: float | None = Field(description="Training steps a second, here and now.")
    eta_s: float | None = Field(description="Seconds that the whole run would take.")
    elapsed_s: float
    traceback: str
