"""What to run: `RunSpec` and `EvalSpec`, validated, and their way to JSON and back.

A spec is complete: every hyperparameter has its value, so the same spec, seed and device give the
same curve. Unknown keys are refused, never dropped.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import orjson

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.backends import BACKENDS, DEFAULT_BACKEND, find_algorithm
from apps.catalogue.environments.ids import ENVIRONMENT_ID, wrong_with_wrapper
from apps.catalogue.normalizing import resolve_normalization
from apps.catalogue.presets.presets import PRESET_TITLES
from apps.catalogue.stepping import DEFAULT_VECTORIZATION, VECTORIZATIONS
from apps.catalogue.stepping import refusals as vectorization_refusals
from apps.errors import FieldError, InvalidSpec
from apps.spec.conflicts import conflicts
from apps.spec.defaults import apply_family, apply_length, apply_preset
from apps.spec.early_stop import check_early_stop
from apps.spec.fields import MAX_SEED, check_numbers, check_switch, refuse, unknown_keys
from apps.text.suggestions import SYNONYMS, did_you_mean
from apps.words import shown

MAX_KWARGS_BYTES = 16_384
MAX_WRAPPERS = 16
DEVICES = ("auto", "cpu", "cuda")
DEFAULT_ALGORITHM = "ppo"
DEFAULT_ENVIRONMENT = "CartPole-v1"

# Least and greatest allowed value of each whole number of a spec.
BOUNDS: dict[str, tuple[int, int]] = {
    "seed": (0, MAX_SEED),
    "total_timesteps": (1, 1_000_000_000),
    "n_envs": (1, 256),
    "eval_freq": (0, 1_000_000_000),
    "eval_episodes": (1, 1000),
    "save_freq": (0, 1_000_000_000),
    "schedule_timesteps": (0, 1_000_000_000),
    "frame_stack": (0, 16),
}


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One training run, complete.

    Attributes:
        algorithm: Name of an algorithm that the backend has.
        backend: Name of the library that trains.
        environment: Gymnasium id, or `module:Env-v0`.
        environment_kwargs: Keyword arguments for the environment.
        wrappers: Wrappers around the environment, innermost first: `module:Class`, or
            `{"path": "module:Class", "kwargs": {...}}`. The family's own where none are given.
        frame_stack: How many of the latest observations the policy sees at once; 0: the present.
        normalize: Every keyword of VecNormalize (`normalization.NORMALIZATION`), None for none.
        seed: Seed of every random stream of the run.
        total_timesteps: Environment steps, summed over parallel environments.
        n_envs: Parallel environments.
        vectorization: How they are stepped, one of `VECTORIZATIONS`.
        hyperparameters: Every hyperparameter of the algorithm with its value.
        preset: The preset that the values came from, None when from none.
        device: `auto`, `cpu` or `cuda`.
        eval_freq: Steps between evaluations while training; 0: only at the end.
        eval_episodes: Episodes of each evaluation.
        save_freq: Steps between checkpoints; 0: a tenth of the run, at most one in five seconds.
        schedule_timesteps: Steps over which schedules run (`lin_…`, exploration), which then stay
            at their end; 0: `total_timesteps`.
        film: Whether its evaluations are filmed.
        early_stop: When it may be stopped for being worse than its like (`early_stop` module),
            None: never.
        milestones: Whether each tenth of the run is evaluated, in place of `eval_freq`.
        tensorboard: Whether its scalars are written as TensorBoard's event files too.
        weights: SHA-256 of the model file that the run starts from (`init.zip` in its directory);
            empty: it starts from new networks.
    """

    algorithm: str
    environment: str
    total_timesteps: int
    seed: int = 1
    n_envs: int = 1
    preset: str | None = None
    device: str = "auto"
    eval_freq: int = 0
    eval_episodes: int = 5
    save_freq: int = 0
    schedule_timesteps: int = 0
    film: bool = True
    milestones: bool = False
    tensorboard: bool = False
    early_stop: dict[str, Any] | None = None
    environment_kwargs: dict[str, Any] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    wrappers: list[Any] = field(default_factory=list)
    frame_stack: int = 0
    weights: str = ""
    normalize: dict[str, Any] | None = None
    backend: str = DEFAULT_BACKEND
    vectorization: str = DEFAULT_VECTORIZATION

    @property
    def schema(self) -> Algorithm:
        """The algorithm as its backend has it."""
        return BACKENDS[self.backend].algorithms[self.algorithm]

    @property
    def schedule_length(self) -> int:
        """Steps over which schedules run."""
        return self.schedule_timesteps or self.total_timesteps

    @property
    def steps_between_saves(self) -> int:
        """Steps between checkpoints, at least one rollout's worth is left to the trainer."""
        return self.save_freq or max(1, self.total_timesteps // 10)

    @property
    def steps_between_evaluations(self) -> int:
        """Steps between evaluations while training; 0: only at the end."""
        return max(1, self.total_timesteps // 10) if self.milestones else self.eval_freq

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as JSON-ready data; `from_dict` reads it back to an equal spec."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Validate data and fill in the preset's values and the library's defaults.

        Args:
            data: Fields of the spec, and optionally `length` (`quick`, `standard`, `epic`) in
                place of `total_timesteps`. `hyperparameters` given here win over the preset's.

        Raises:
            InvalidSpec: Lists every refused field with its value and what is allowed.
        """
        names = [spec_field.name for spec_field in fields(cls)]
        errors = unknown_keys(data, [*names, "length"])
        values = {name: data[name] for name in names if name in data}
        name = values.setdefault("algorithm", DEFAULT_ALGORITHM)
        algorithm = find_algorithm(values.get("backend", DEFAULT_BACKEND), name, errors)
        _check_environment_id(values.setdefault("environment", DEFAULT_ENVIRONMENT), errors)
        _check_choice(values, "preset", [*PRESET_TITLES], errors, is_optional=True)
        _check_choice(values, "device", DEVICES, errors)
        _check_choice(values, "vectorization", [*VECTORIZATIONS], errors)
        weights = values.get("weights", "")
        if not isinstance(weights, str) or not re.fullmatch("|[0-9a-f]{64}", weights):
            errors.append(FieldError("weights", "is no SHA-256 of a file; leave it out"))
        if not errors:
            apply_family(values)
        _check_kwargs(values, errors)
        _check_wrappers(values, errors)
        given = values.get("hyperparameters", {})
        if not isinstance(given, Mapping):
            errors.append(
                FieldError("hyperparameters", f"{shown(given)} is not an object of values by name")
            )
            given = {}
        if not errors and algorithm:
            apply_length(values, data.get("length"), errors)
            given = apply_preset(values, given, algorithm, errors)
        if algorithm:
            misplaced, own = _misplaced(given, algorithm, names)
            values["hyperparameters"], refused = algorithm.resolve(own)
            errors += misplaced + refused
        values["normalize"], refused = resolve_normalization(values.get("normalize"))
        errors += refused
        check_numbers(values, BOUNDS, errors)
        for switch in ("film", "milestones", "tensorboard"):
            check_switch(values, switch, errors)
        check_early_stop(values, errors)
        if errors:
            raise InvalidSpec(errors)
        spec = cls(**values)
        refuse(spec._conflicts())
        return spec

    def _conflicts(self) -> list[FieldError]:
        """Return what is wrong between fields that are each fine alone."""
        algorithm = self.schema
        errors = [
            FieldError(f"hyperparameters.{name}", message)
            for name, message in conflicts(algorithm, self.hyperparameters, self.n_envs)
        ]
        if self.n_envs > algorithm.max_envs:
            errors.append(
                FieldError(
                    "n_envs",
                    f"{self.n_envs} is not allowed; {algorithm.title} takes at most "
                    f"{algorithm.max_envs}",
                )
            )
        errors += BACKENDS[self.backend].refusals(self.device, self.weights)
        errors += vectorization_refusals(self)
        if self.frame_stack == 1:
            errors.append(
                FieldError("frame_stack", "1 is not allowed; it must be 0 (none) or from 2 to 16")
            )
        if self.milestones and self.eval_freq:
            errors.append(
                FieldError(
                    "milestones",
                    f"true is not allowed with eval_freq {self.eval_freq}; milestones are "
                    "evaluated at each tenth of the run: leave one of them out",
                )
            )
        return errors


def _misplaced(
    given: Mapping[str, Any], algorithm: Algorithm, names: list[str]
) -> tuple[list[FieldError], dict[str, Any]]:
    """Refuse fields of the spec that stand among the hyperparameters; return those with the rest.

    RL-Baselines3-Zoo has them there, some by other names.
    """
    errors, own = [], {}
    for name, value in given.items():
        field_name = SYNONYMS.get(str(name), str(name))
        if name in algorithm.hyperparameters or field_name not in names:
            own[name] = value
        else:
            words = f"is no hyperparameter; write it beside them, as {field_name}"
            errors.append(FieldError(f"hyperparameters.{name}", words))
    return errors, own


def _check_environment_id(name: Any, errors: list[FieldError]) -> None:
    if not isinstance(name, str) or len(name) > 200 or not ENVIRONMENT_ID.fullmatch(name):
        errors.append(
            FieldError(
                "environment",
                f"{shown(name)} is not an environment id; write CartPole-v1 or module:Env-v0",
            )
        )


def _check_choice(
    values: dict[str, Any],
    name: str,
    allowed: Collection[str],
    errors: list[FieldError],
    is_optional: bool = False,
) -> None:
    value = values.get(name)
    if name not in values or (is_optional and value is None):
        return
    if value not in allowed:
        listed = f"{', '.join(allowed)}{did_you_mean(value, allowed)}"
        errors.append(FieldError(name, f"{shown(value)} is not allowed; allowed: {listed}"))


def _check_kwargs(values: dict[str, Any], errors: list[FieldError]) -> None:
    kwargs = values.get("environment_kwargs", {})
    try:
        text = orjson.dumps(kwargs)
    except orjson.JSONEncodeError as error:
        errors.append(FieldError("environment_kwargs", f"not JSON: {error}"))
        return
    if not isinstance(kwargs, dict) or len(text) > MAX_KWARGS_BYTES:
        errors.append(
            FieldError(
                "environment_kwargs",
                f"must be an object of at most {MAX_KWARGS_BYTES} bytes of JSON",
            )
        )
    elif orjson.loads(text) != kwargs:  # JSON has no NaN, Inf, tuple or date: they would change.
        errors.append(FieldError("environment_kwargs", f"{shown(kwargs)} holds what JSON cannot"))
    elif "render_mode" in kwargs:
        errors.append(
            FieldError(
                "environment_kwargs", "render_mode is set when a film is made; leave it out"
            )
        )


def _check_wrappers(values: dict[str, Any], errors: list[FieldError]) -> None:
    wrappers = values.get("wrappers", [])
    if not isinstance(wrappers, list) or len(wrappers) > MAX_WRAPPERS:
        errors.append(FieldError("wrappers", f"must be a list of at most {MAX_WRAPPERS}"))
        return
    if not _is_json(wrappers):
        errors.append(
            FieldError(
                "wrappers", f"must be at most {MAX_KWARGS_BYTES} bytes of what JSON can hold"
            )
        )
        return
    for index, wrapper in enumerate(wrappers):
        if message := wrong_with_wrapper(wrapper):
            errors.append(FieldError(f"wrappers.{index}", message))


def _is_json(value: Any) -> bool:
    """Return whether a value is the same after JSON, which has no NaN, tuple or date."""
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return len(text) <= MAX_KWARGS_BYTES and bool(orjson.loads(text) == value)
