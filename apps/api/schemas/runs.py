"""The JSON that the API takes and gives; a name here is public (docs/api.md).

Times are UTC, ISO 8601. NaN and Inf become null; where they matter (`Series`) they are flagged.
What comes in are plain pydantic models: Ninja's `Schema` reads anything that has attributes, so it
takes a list for an object without fields and drops unknown fields.
"""

from dataclasses import asdict
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal, Self

from django.urls import reverse
from ninja import Field, Schema
from pydantic import BaseModel, BeforeValidator, ConfigDict, create_model, model_validator

from apps.analysis.axes import Axis
from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.statuses import PENDING, JobStatus, RunKind, RunStatus
from apps.experiments.turns import PRIORITY_BOUNDS
from apps.jobs.verbs.waiting import pending_of, why_it_waits, why_play_waits
from apps.spec.evaluation import EVALUATION_BOUNDS
from apps.spec.fields import BOUNDS, FIELDS
from apps.spec.logged import LOGGED_BOUNDS, MAX_BYTES
from apps.spec.schema import Field as SpecField
from apps.spec.seeds import SEEDS_BOUNDS
from apps.text.names import LIMITS
from apps.text.whole_numbers import whole_number

RUN_STATUSES: list[Any] = [str(status) for status in RunStatus.values]
RUN_KINDS: list[Any] = [str(kind) for kind in RunKind.values]
JOB_STATUSES: list[Any] = [str(status) for status in JobStatus.values]


class FieldProblem(Schema):
    field: str
    message: str
    row: int | None = Field(None, description="Which row of a batch, the first being 0.")


class Problem(Schema):
    """Why a request was refused (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] | None = Field(None, description="Every refused field (422).")
    receipt: "Receipt | None" = Field(None, description="What became of a batch's other rows.")
    legal_moves: list[str] | None = Field(None, description="Where the run may go (409).")


class Receipt(Schema):
    """What became of a batch of rows."""

    taken: int = Field(description="Rows that were new; they are in the log.")
    repeated: int = Field(description="Rows that had been received before.")
    refused: int
    backward: int = Field(description="Rows taken whose step is less than one before them.")
    stop: str | None = Field(description="Why the script is asked to end; null: it is not.")


def _whole(value: Any) -> int:
    number = None if isinstance(value, str) else whole_number(value)
    if number is None:
        raise ValueError("it must be a whole number")
    return number


# JSON has one kind of number: 1e5 and 100000.0 are as whole as 100000.
WholeNumber = Annotated[int, BeforeValidator(_whole)]


def _documented(
    kind: str, description: str, bounds: tuple[int, int] | None = None, **more: Any
) -> Any:
    """Describe a field whose value is judged by the spec alone, so that a rule has one home."""
    schema: dict[str, Any] = {"type": kind, **more}
    if bounds:
        schema |= {"minimum": bounds[0], "maximum": bounds[1]}
    return Field(None, description=description, json_schema_extra=schema)


def _name(kind: str, description: str, default: Any = "", **more: Any) -> Any:
    """Describe a name, which is judged by the rule of all names alone (`engine.names`)."""
    schema: dict[str, Any] = {"type": "string", "maxLength": LIMITS[kind], **more}
    return Field(default, description=description, json_schema_extra=schema)


# --- runs


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

    name: Any = _name("run", "Empty: made from the spec.")
    experiment: Any = _name("experiment", "Made when it is new.")
    start: bool = Field(True, description="False leaves a draft.")
    priority: Any = _documented(
        "integer", "The highest leaves the queue first; default 0.", PRIORITY_BOUNDS
    )
    init: str = Field(
        "", max_length=200, description="RUN, RUN@best or RUN@STEP: start from its weights alone."
    )
    seeds: Any = _documented(
        "integer",
        "So many runs, with this seed and those that follow; the answer lists them.",
        SEEDS_BOUNDS["seeds"],
    )

    def spec(self) -> dict[str, Any]:
        """Return the given fields of the spec, unknown ones included."""
        beside = {"name", "experiment", "start", "priority", "seeds", "init"}
        return self.model_dump(exclude_unset=True, exclude=beside)


class LoggedRunIn(BaseModel):
    """What an outside script says of its run. Unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field("", description="Of the script's own making: told again, no second run.")
    name: Any = _name("run", "Empty: made from the rest.")
    experiment: Any = _name("experiment", "Made when it is new.")
    algorithm: Any = _documented("string", "In the script's words.", maxLength=40)
    environment: Any = _documented("string", "In the script's words.", maxLength=200)
    seed: Any = _documented("integer", "Default: the config's seed.", LOGGED_BOUNDS["seed"])
    total_timesteps: Any = _documented(
        "integer", "Steps that it means to do.", LOGGED_BOUNDS["total_timesteps"]
    )
    config: Any = _documented("object", f"Whatever it was called with, {MAX_BYTES} bytes at most.")
    host: str = Field("", description="Where it runs: its death on this machine shows at once.")
    pid: int = Field(0, ge=0, lt=2**31, strict=True, description="Its process there.")
    provenance: dict[str, Any] = Field(
        default_factory=dict, description="Command, versions, commit; as config."
    )

    def spec(self) -> dict[str, Any]:
        """Return the given fields of the spec."""
        names = {"algorithm", "environment", "seed", "total_timesteps", "config"}
        return self.model_dump(exclude_unset=True, include=names)


class FinishIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    status: str = Field(
        "completed", json_schema_extra={"enum": ["completed", "failed", "stopped"]}
    )
    reason: str = Field("", description="Why, in one line of at most 500 characters.")
    error: str = Field("", description="The traceback of what ended it, 20,000 characters.")


class RunChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Any = _name("run", "Another one.", None, minLength=1)
    priority: Any = _documented(
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
    name: Any = _name("run", "Empty: made from the parent's.")
    experiment: Any = _name("experiment", "Empty: the parent's.")


class Lineage(Schema):
    parent: RunSummary | None
    file_name: str = Field(description="The model file that it was imported from, else empty.")
    children: list[RunSummary]


class RunPage(Schema):
    runs: list[RunSummary]
    next_cursor: str | None


class Config(Schema):
    spec: dict[str, Any]
    provenance: dict[str, Any] | None = Field(description="Null until training has begun.")


class CheckpointOut(Schema):
    step: int
    size_bytes: int
    is_best: bool
    created_at: datetime


class Checkpoints(Schema):
    checkpoints: list[CheckpointOut]


class DownloadFile(Schema):
    name: str
    size_bytes: int
    sha256: str
    url: str = Field(description="Where it is served; honours Range.")


class DownloadOut(Schema):
    run: str
    step: int
    files: list[DownloadFile]
    script: str = Field(description="`load.py`: it plays what lies beside it.")


# --- what a run's log holds


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


# --- evaluations and films


class EvaluationIn(BaseModel):
    """What to evaluate. Unknown fields are refused."""

    model_config = ConfigDict(extra="allow")

    at: str = Field("last", description="last, best, or a step that has a checkpoint.")
    n_episodes: Any = _documented(
        "integer", "Default: the run's.", EVALUATION_BOUNDS["n_episodes"]
    )
    seed: Any = _documented("integer", "Of the first episode.", EVALUATION_BOUNDS["seed"])
    is_deterministic: Any = _documented(
        "boolean", "Whether the policy takes its likeliest action."
    )
    should_film: Any = _documented("boolean", "Whether the episodes are filmed.")
    max_episode_steps: Any = _documented(
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


# --- experiments


class ExperimentIn(BaseModel):
    model_config = ConfigDict(extra="forbid")

    name: Any = _name("experiment", "What runs join it by.", ..., minLength=1)
    hypothesis: Any = _name("hypothesis", "What you expect to see, and why.")


class ExperimentChange(BaseModel):
    model_config = ConfigDict(extra="forbid")

    hypothesis: Any = _name("hypothesis", "What you expect to see, and why.", ...)


class ExperimentOut(Schema):
    id: int
    name: str
    hypothesis: str
    n_runs: int
    created_at: datetime


class ExperimentPage(Schema):
    experiments: list[ExperimentOut]
    next_cursor: str | None


# --- catalogues and the machine


class HyperparameterOut(Schema):
    name: str
    kind: str
    default: Any
    meaning: str
    allowed: str = Field(description="The allowed values in words.")
    low: float | None
    high: float | None
    choices: list[str]
    is_schedule: bool
    is_optional: bool
    is_log: bool
    is_important: bool


class AlgorithmOut(Schema):
    name: str
    title: str
    meaning: str
    action_spaces: list[str]
    is_on_policy: bool
    max_envs: int
    diagnostics: list[str]
    backend: str = Field(description="Whose hyperparameters these are.")
    backends: list[str] = Field(description="Backends that have it.")
    hyperparameters: list[HyperparameterOut]


class Algorithms(Schema):
    algorithms: list[AlgorithmOut]


class EnvironmentOut(Schema):
    id: str
    family: str = Field(description="The group it is of; own for your own.")
    family_title: str
    install: str = Field(description="What to type when its package is missing.")
    is_installed: bool
    is_ready: bool = Field(description="Whether it can be trained in now.")
    problem: str = Field(description="Why one of your own cannot be used.")
    meaning: str
    action_space: str
    observation: str
    reward: str
    max_episode_steps: int | None
    solved_return: float | None
    source: str
    algorithms: list[str] = Field(description="Algorithms that can act in it.")
    lengths: dict[str, int] = Field(description="Steps of each run length.")


class SpaceNumber(Schema):
    label: str = Field(description="Its index, or the first and the last of several alike.")
    meaning: str
    unit: str
    low: float | None
    high: float | None


class SpaceOut(Schema):
    kind: str
    shape: list[int]
    dtype: str
    n: int | None = Field(description="How many values a discrete one has.")
    low: float | None
    high: float | None
    numbers: list[SpaceNumber]


class StorageOut(Schema):
    transition_bytes: int
    buffer_bytes: dict[str, int] = Field(
        description="Replay buffer of each off-policy algorithm at its default size."
    )
    film_bytes_per_minute: int | None


class EnvironmentDetail(EnvironmentOut):
    observation_space: SpaceOut | None = Field(description="With the wrappers of its family.")
    actions: SpaceOut | None
    render_modes: list[str]
    render_fps: int | None
    storage: StorageOut | None
    misfits: dict[str, str] = Field(description="Why other algorithms cannot act in it.")
    own_presets: dict[str, list[str]] = Field(description="Presets made for it, by algorithm.")
    latest_runs: list[RunSummary]


class Environments(Schema):
    environments: list[EnvironmentOut]


class PresetOut(Schema):
    algorithm: str
    environment: str
    name: str
    title: str
    n_envs: int
    vectorization: str
    hyperparameters: dict[str, Any] = Field(description="Values that differ from the defaults.")
    normalize: dict[str, Any] | None = Field(description="What VecNormalize is given.")
    source: str


class Presets(Schema):
    presets: list[PresetOut]
    lengths: dict[str, int] = Field(description="Steps of each run length in the environment.")


class System(Schema):
    workers: int
    slots: int = Field(description="Runs that the workers train at once, together.")
    queued: int
    running: int
    cpu_fraction: float | None
    memory_fraction: float | None
    disk_free_bytes: int
    disk_fraction: float
    is_worker_missing: bool = Field(description="Something waits and no worker is there to do it.")


class Health(Schema):
    status: Literal["ok"]
    version: str
    instance: str = Field(description="Name of the `up` that started it; empty without one.")
