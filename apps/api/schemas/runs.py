"""Runs, as they are asked for and as they are shown."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, Self

from ninja import Field, Schema
from pydantic import BaseModel, ConfigDict, model_validator

from apps.api.schemas.fields import documented, name_field
from apps.experiments.models import Run
from apps.experiments.statuses import PENDING, RunKind, RunStatus
from apps.experiments.turns import PRIORITY_BOUNDS
from apps.jobs.verbs.waiting import pending_of, why_it_waits
from apps.spec.fields import FIELDS
from apps.spec.schema import Field as SpecField
from apps.spec.seeds import SEEDS_BOUNDS

RUN_STATUSES: list[Any] = [str(status) for status in RunStatus.values]
RUN_KINDS: list[Any] = [str(kind) for kind in RunKind.values]


JSON_TYPES = {
    "int": "integer",
    "bool": "boolean",
    "choice": "string",
    "text": "string",
    "object": "object",
    "list": "array",
}


def _property(row: SpecField) -> dict[str, Any]:
    """Describe a field of a spec, which is judged by its row alone."""
    title = row.name.replace("_", " ").title()
    shape = {"title": title, "type": JSON_TYPES[row.kind], "description": row.description}
    bounds = {"minimum": row.low, "maximum": row.high} if row.kind == "int" else {}
    return {**shape, **bounds, **({"enum": [*row.choices]} if row.choices else {})}


def _with_spec_fields(schema: dict[str, Any]) -> None:
    rows = {name: _property(row) for name, row in FIELDS.items() if row.is_asked}
    schema["properties"] = {**rows, **schema["properties"]}


class RunIn(BaseModel):
    """A spec, and what to call the run. Unknown fields are refused."""

    # What is not named here is of the spec, which judges it.
    model_config = ConfigDict(extra="allow", json_schema_extra=_with_spec_fields)

    name: Any = name_field("run", "Empty: made from the spec.")
    experiment: Any = name_field("experiment", "Made when it is new.")
    start: bool = Field(True, description="False leaves a draft.")
    priority: Any = documented(
        "integer", "The highest leaves the queue first; default 0.", PRIORITY_BOUNDS
    )
    init: str = Field(
        "", max_length=200, description="RUN, RUN@best or RUN@STEP: start from its weights alone."
    )
    seeds: Any = documented(
        "integer",
        "So many runs, with this seed and those that follow; the answer lists them.",
        SEEDS_BOUNDS["seeds"],
    )

    def spec(self) -> dict[str, Any]:
        """Return the given fields of the spec, unknown ones included."""
        beside = {"name", "experiment", "start", "priority", "seeds", "init"}
        return self.model_dump(exclude_unset=True, exclude=beside)


class RunChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Any = name_field("run", "Another one.", None, minLength=1)
    priority: Any = documented(
        "integer", "Of a draft or queued run: the highest goes first.", PRIORITY_BOUNDS
    )

    @model_validator(mode="after")
    def check_something_changes(self) -> Self:
        if self.name is None and self.priority is None:
            raise ValueError("give a name, a priority or both")
        return self


class RunSummary(Schema):
    id: str
    name: str
    experiment: str
    algorithm: str
    environment: str
    preset: str
    kind: str = Field(
        json_schema_extra={"enum": RUN_KINDS},
        description="trained: by a trainer here; logged: by a script outside, which tells of it.",
    )
    seed: int | None = Field(description="Null: the script of a logged run did not say.")
    total_timesteps: int | None = Field(description="Null likewise.")
    status: str = Field(json_schema_extra={"enum": RUN_STATUSES})
    status_reason: str
    priority: int
    is_silent: bool = Field(
        description="Running, but its supervisor has not been heard of for long."
    )
    attempt: int
    parent_id: str | None = Field(description="The run it came from.")
    parent_step: int | None = Field(description="Step of the checkpoint it started from.")
    relation: str = Field(description="What it is to its parent, empty without one.")
    fidelity: str = Field(description="How exactly its latest attempt went on.")
    progress: float | None = Field(
        description="Share of the steps done, 0 to 1; null where nobody said how many there are."
    )
    step: int
    episodes: int
    steps_per_second: float | None
    elapsed_s: float | None
    eta_s: float | None
    return_min: float | None = Field(description="Least return of a training episode.")
    return_max: float | None = Field(description="Greatest.")
    return_mean: float | None = Field(description="Mean of all of them.")
    return_last: float | None = Field(description="Latest mean of the last 100 episodes.")
    return_best: float | None = Field(description="Greatest of those means.")
    return_auc: float | None = Field(
        description="Area under the curve of those means by its width: their mean over steps."
    )
    length_min: float | None = Field(description="Of episode lengths, as of returns.")
    length_max: float | None
    length_mean: float | None
    length_last: float | None
    length_auc: float | None
    evaluation_min: float | None = Field(description="Least return of an evaluated episode.")
    evaluation_max: float | None
    evaluation_mean: float | None
    evaluation_last: float | None = Field(description="Mean of the evaluation at the last step.")
    evaluation_best: float | None = Field(description="Greatest of those means.")
    evaluation_auc: float | None
    loss_key: str = Field(description="The metric that stands for the loss, empty without one.")
    loss_min: float | None
    loss_max: float | None
    loss_mean: float | None
    loss_last: float | None
    loss_auc: float | None
    created_at: datetime
    queued_at: datetime | None
    started_at: datetime | None
    finished_at: datetime | None

    @staticmethod
    def resolve_experiment(run: Run) -> str:
        return run.experiment.name


class Pending(Schema):
    """An evaluation or a film of a run that waits or is worked on."""

    kind: Literal["evaluation", "video"]
    id: int
    step: int
    status: str = Field(json_schema_extra={"enum": [*PENDING]})
    waiting: str = Field(description="Why it waits, and how many go before it.")


class RunDetail(RunSummary):
    spec: dict[str, Any]
    error: str = Field(description="Traceback of a crash.")
    legal_moves: list[str]
    fidelity_notes: dict[str, str] = Field(description="What was not restored, and why.")
    auto_resumes: int = Field(description="How often it went on by itself.")
    waiting: str = Field(description="Why a queued run waits, and how many go before it.")
    memory_bytes: int = Field(
        description="About what its training takes of memory when its buffer is full."
    )
    gpu_memory_bytes: int = Field(
        description="About what its training takes of a GPU's memory, where there is a GPU."
    )
    pending: list[Pending] = Field(description="Its evaluations and films that are not done.")
    stop_requested_at: datetime | None
    save_requested_at: datetime | None = Field(description="Null once the checkpoint is there.")
    log_cursor: int = Field(description="How far the summary has read the log.")

    @staticmethod
    def resolve_waiting(run: Run) -> str:
        return why_it_waits(run)

    @staticmethod
    def resolve_pending(run: Run) -> list[dict[str, Any]]:
        return [asdict(job) for job in pending_of(run)]


class RunsMade(Schema):
    runs: list[RunSummary] = Field(description="One for each seed, in their order.")


class RunPage(Schema):
    runs: list[RunSummary]
    next_cursor: str | None


class Config(Schema):
    spec: dict[str, Any]
    provenance: dict[str, Any] | None = Field(description="Null until training has begun.")
