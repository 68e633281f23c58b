"""Runs, as they are asked for and as they are shown."""

from dataclasses import asdict
from datetime import datetime
from typing import Any, Literal, Self

from ninja import Field, Schema
from pydantic import BaseModel, ConfigDict, model_validator

from apps.api.schemas.fields import documented, name_field
from apps.catalogue.algorithms.backends import BACKENDS
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.normalizing import NORMALIZATION
from apps.catalogue.presets.presets import LENGTH_TITLES, PRESET_TITLES
from apps.catalogue.stepping import VECTORIZATIONS
from apps.experiments.models import Run
from apps.experiments.statuses import PENDING, RunKind, RunStatus
from apps.experiments.turns import PRIORITY_BOUNDS
from apps.jobs.verbs.waiting import pending_of, why_it_waits
from apps.spec.run import BOUNDS, DEVICES
from apps.spec.seeds import SEEDS_BOUNDS

RUN_STATUSES: list[Any] = [str(status) for status in RunStatus.values]
RUN_KINDS: list[Any] = [str(kind) for kind in RunKind.values]


class RunIn(BaseModel):
    """A spec, and what to call the run. Unknown fields are refused."""

    model_config = ConfigDict(extra="allow")

    algorithm: Any = documented("string", "The algorithm.", enum=[*ALGORITHMS])
    backend: Any = documented("string", "The library that trains.", enum=[*BACKENDS])
    environment: Any = documented("string", "Gymnasium id, or module:Env-v0.")
    environment_kwargs: Any = documented("object", "Keyword arguments of the environment.")
    seed: Any = documented("integer", "Seed of every random stream.", BOUNDS["seed"])
    total_timesteps: Any = documented("integer", "Steps to train.", BOUNDS["total_timesteps"])
    length: Any = documented("string", "In place of total_timesteps.", enum=[*LENGTH_TITLES])
    n_envs: Any = documented("integer", "Parallel environments.", BOUNDS["n_envs"])
    vectorization: Any = documented(
        "string", "How they are stepped; auto chooses.", enum=[*VECTORIZATIONS]
    )
    preset: Any = documented("string", "Where missing values come from.", enum=[*PRESET_TITLES])
    hyperparameters: Any = documented("object", "Values by name; GET /algorithms has the schema.")
    wrappers: Any = documented("array", "Wrappers, innermost first: module:Class.")
    frame_stack: Any = documented(
        "integer", "Observations seen at once; 0: the present one.", BOUNDS["frame_stack"]
    )
    normalize: Any = documented(
        "object",
        "What VecNormalize is given, {} for its defaults, null for none whatever the preset says: "
        f"{', '.join(NORMALIZATION)}.",
    )
    device: Any = documented("string", "Where to compute.", enum=[*DEVICES])
    eval_freq: Any = documented(
        "integer", "Steps between evaluations; 0: only at the end.", BOUNDS["eval_freq"]
    )
    eval_episodes: Any = documented("integer", "Episodes of each.", BOUNDS["eval_episodes"])
    save_freq: Any = documented(
        "integer", "Steps between checkpoints; 0: a tenth of the run.", BOUNDS["save_freq"]
    )
    schedule_timesteps: Any = documented(
        "integer",
        "Steps over which schedules run, staying at their end then; 0: total_timesteps.",
        BOUNDS["schedule_timesteps"],
    )
    film: Any = documented("boolean", "Whether its evaluations are filmed.")
    early_stop: Any = documented(
        "object", "When to stop it for being worse than other seeds: after_fraction, below."
    )
    milestones: Any = documented(
        "boolean", "Whether each tenth of the run is evaluated, in place of eval_freq."
    )
    tensorboard: Any = documented(
        "boolean", "Whether its scalars are written as TensorBoard's event files too."
    )

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
