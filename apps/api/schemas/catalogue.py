"""What there is to train: algorithms, environments, presets."""

from typing import Any

from ninja import Field, Schema

from apps.api.schemas.runs import RunSummary


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
