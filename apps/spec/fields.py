"""The fields of a run's spec, one row each: what all who read, ask for and show them know.

A new field is a row here, and a typed attribute of `RunSpec`. Of these are made: what is refused
and in which words, the body of `POST /runs`, the options of `train` and `branch`, the forms, the
settings on the page of a run, docs/spec.md, and what the hash of a configuration leaves out.
Order is that of the forms, of refusals and of the document.
"""

import re
from collections.abc import Mapping
from typing import Any

from apps.catalogue.algorithms.backends import BACKENDS, DEFAULT_BACKEND
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.normalizing import NORMALIZATION
from apps.catalogue.presets.presets import LENGTH_TITLES, PRESET_TITLES
from apps.catalogue.stepping import DEFAULT_VECTORIZATION, VECTORIZATIONS
from apps.spec.early_stop import read_early_stop
from apps.spec.environment import read_environment_id, read_kwargs, read_wrappers
from apps.spec.schema import Field
from apps.words import shown

MAX_SEED = 2**32 - 1
MAX_STEPS = 1_000_000_000
DEVICES = ("auto", "cpu", "cuda")
DEFAULT_ALGORITHM = "ppo"
DEFAULT_ENVIRONMENT = "CartPole-v1"


def _as_it_is(value: Any) -> Any:
    """Leave the judgement to what fills in the rest of a spec: it takes other fields as well."""
    return value


def _read_mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValueError(f"{shown(value)} is not an object of values by name")
    return value


def _read_hash(value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch("|[0-9a-f]{64}", value):
        raise ValueError("is no SHA-256 of a file; leave it out")
    return value


_ROWS = (
    Field(
        name="algorithm",
        kind="choice",
        default=DEFAULT_ALGORITHM,
        meaning="The algorithm",
        title="Algorithm",
        choices={algorithm.name: algorithm.title for algorithm in ALGORITHMS.values()},
        reads=_as_it_is,  # Each backend has its own.
        flags=("--algo",),
        see="algorithms.md",
        on_branch="kept",
    ),
    Field(
        name="environment",
        kind="text",
        default=DEFAULT_ENVIRONMENT,
        meaning="Gymnasium id, or module:Env-v0",
        title="Environment",
        hint="A Gymnasium id, or module:Env-v0.",
        reads=read_environment_id,
        flags=("--env",),
        see="environments.md",
        metavar="ID",
        place="main",
        on_branch="asked",
    ),
    Field(
        name="environment_kwargs",
        kind="object",
        default={},
        meaning="Keyword arguments of the environment",
        reads=read_kwargs,
        flags=("--env-kwargs",),
        metavar="NAME:VALUE",
        on_branch="asked",
    ),
    Field(
        name="wrappers",
        kind="list",
        default=[],
        meaning="Wrappers, innermost first: module:Class",
        title="Wrappers",
        reads=read_wrappers,
        flags=("--wrapper",),
        see="commands.md#train",
        metavar="module:Class",
        option_help="module:Class [NAME:VALUE …], once for each, innermost first; or none",
        on_branch="asked",
    ),
    Field(
        name="frame_stack",
        kind="int",
        default=0,
        meaning="Observations seen at once",
        title="Frame stack",
        unit="observations",
        zero="the present one",
        high=16,
        flags=("--frame-stack",),
        on_branch="asked",
    ),
    Field(
        name="preset",
        kind="choice",
        default=None,
        meaning="Where missing values come from",
        title="Preset",
        choices=dict(PRESET_TITLES.items()),
        blank="None · library defaults",
        is_optional=True,
        flags=("--preset",),
        see="presets.md",
        place="main",
    ),
    Field(
        name="length",
        kind="choice",
        default=None,
        meaning="In place of total_timesteps",
        title="Length",
        choices=dict(LENGTH_TITLES.items()),
        is_optional=True,
        flags=("--length",),
        place="main",
        is_stored=False,
    ),
    Field(
        name="total_timesteps",
        kind="int",
        default=None,
        meaning="Steps to train",
        title="Exact steps",
        hint="Overrides the length.",
        unit="steps",
        low=1,
        high=MAX_STEPS,
        flags=("-n",),
        metavar="N",
        place="main",
        on_branch="asked",
    ),
    Field(
        name="seed",
        kind="int",
        default=1,
        meaning="Seed of every random stream",
        title="Seed",
        high=MAX_SEED,
        flags=("--seed",),
        place="main",
        on_branch="asked",
    ),
    Field(
        name="n_envs",
        kind="int",
        default=1,
        meaning="Parallel environments",
        title="Parallel environments",
        hint="Blank: the preset's.",
        low=1,
        high=256,
        flags=("--n-envs",),
        place="main",
    ),
    Field(
        name="normalize",
        kind="object",
        default=None,
        meaning="What VecNormalize is given, {} for its defaults, null for none whatever the "
        f"preset says: {', '.join(NORMALIZATION)}",
        title="Normalise",
        hint="Observations and rewards, by running statistics. Returns stay the game's.",
        is_optional=True,
        reads=_as_it_is,  # Its keywords go over those of the preset first.
        flags=("--normalize",),
        see="commands.md#train",
        metavar="KEY:VALUE",
        option_help="normalise observations and rewards, or false: neither; "
        f"keys: {', '.join(NORMALIZATION)}",
        place="main",
        on_branch="asked",
    ),
    Field(
        name="hyperparameters",
        kind="object",
        default={},
        meaning="Values by name; GET /algorithms has the schema",
        reads=_read_mapping,
        flags=("-params", "--hyperparams"),
        see="algorithms.md",
        metavar="NAME:VALUE",
        option_help="hyperparameters; they win over all others",
        on_branch="asked",
    ),
    Field(
        name="eval_freq",
        kind="int",
        default=0,
        meaning="Steps between evaluations",
        title="Evaluate every",
        unit="steps",
        zero="only at the end",
        high=MAX_STEPS,
        flags=("--eval-freq",),
        place="more",
    ),
    Field(
        name="milestones",
        kind="bool",
        default=False,
        meaning="Whether each tenth of the run is evaluated, in place of eval_freq",
        title="Milestones",
        hint="Evaluate and film each tenth of the run, to see it get better.",
        flags=("--milestones",),
        place="more",
    ),
    Field(
        name="eval_episodes",
        kind="int",
        default=5,
        meaning="Episodes of each evaluation",
        title="Evaluation episodes",
        low=1,
        high=1000,
        flags=("--eval-episodes",),
        place="more",
    ),
    Field(
        name="save_freq",
        kind="int",
        default=0,
        meaning="Steps between checkpoints",
        title="Checkpoint every",
        unit="steps",
        zero="a tenth of the run",
        high=MAX_STEPS,
        flags=("--save-freq",),
        place="more",
    ),
    Field(
        name="schedule_timesteps",
        kind="int",
        default=0,
        meaning="Steps over which schedules run, staying at their end then",
        title="Schedules run over",
        unit="steps",
        zero="total_timesteps",
        high=MAX_STEPS,
    ),
    Field(
        name="film",
        kind="bool",
        default=True,
        meaning="Whether its evaluations are filmed",
        title="Film evaluations",
        flags=("--no-video",),
        option_help="do not film its evaluations",
        place="more",
    ),
    Field(
        name="early_stop",
        kind="object",
        default=None,
        meaning="When to stop it for being worse than other seeds: after_fraction, below",
        title="Stop hopeless seeds",
        hint="Half-way, when its best return is below the median of three others or more.",
        is_optional=True,
        reads=read_early_stop,
        flags=("--early-stop",),
        see="early_stopping.md",
        metavar="NAME:VALUE",
        option_help="stop it when it is hopeless beside the other seeds (after_fraction, below)",
        place="more",
    ),
    Field(
        name="vectorization",
        kind="choice",
        default=DEFAULT_VECTORIZATION,
        meaning="How parallel environments are stepped; auto chooses",
        title="Stepping environments",
        hint="How parallel ones take a step.",
        choices={name: f"{name} · {words}" for name, words in VECTORIZATIONS.items()},
        blank="the preset's, else auto",
        flags=("--vectorization",),
        see="performance.md",
        place="more",
    ),
    Field(
        name="log_interval",
        kind="int",
        default=0,
        meaning="Rollouts of an on-policy algorithm, or episodes of an off-policy one, between "
        "two points of its curves",
        title="Log every",
        hint="Rollouts, or episodes where off-policy; blank or 0: as often as is useful.",
        unit="rollouts or episodes",
        zero="as often as is useful",
        high=1_000_000,
        flags=("--log-interval",),
        see="metrics.md",
        place="more",
        on_branch="asked",
    ),
    Field(
        name="tensorboard",
        kind="bool",
        default=False,
        meaning="Whether its scalars are written as TensorBoard's event files too",
        title="TensorBoard",
        hint="Write its scalars as TensorBoard's event files, too.",
        flags=("--tensorboard",),
        see="tensorboard.md",
        place="more",
    ),
    Field(
        name="backend",
        kind="choice",
        default=DEFAULT_BACKEND,
        meaning="The library that trains",
        title="Backend",
        hint="The library that trains.",
        choices={backend.name: backend.title for backend in BACKENDS.values()},
        flags=("--backend",),
        see="backends.md",
        place="more",
        on_branch="kept",
    ),
    Field(
        name="device",
        kind="choice",
        default=DEVICES[0],
        meaning="Where to compute",
        title="Device",
        choices=dict(zip(DEVICES, DEVICES, strict=True)),
        flags=("--device",),
        place="more",
    ),
    Field(
        name="weights",
        kind="text",
        default="",
        meaning="SHA-256 of the model file that it starts from, `init.zip` in its directory",
        reads=_read_hash,
        is_asked=False,
    ),
)

FIELDS: dict[str, Field] = {row.name: row for row in _ROWS}
# Least and greatest allowed value of each whole number of a spec.
BOUNDS = {row.name: row.bounds for row in _ROWS if row.kind == "int"}
# What whoever branches a run by page or command may change.
BRANCHED = [row for row in _ROWS if row.on_branch == "asked"]
