"""RL-Baselines3-Zoo's YAML files of hyperparameters, read without running anything in them.

`read_zoo_yaml` turns a file into fields of a spec, `find_zoo_entry` what it says of one
environment.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.shared import HINDSIGHT_KEYWORDS
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.ids import family_name, wrong_with_wrapper
from apps.catalogue.normalizing import normalization_over, resolve_normalization
from apps.errors import FieldError, InvalidSpec
from apps.foreign import plain_yaml
from apps.foreign.plain_yaml import Document
from apps.text.expressions import parse_expression
from apps.text.suggestions import did_you_mean
from apps.text.whole_numbers import whole_number
from apps.words import shown

ATARI_WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
POLICIES = {
    "MlpPolicy",
    "CnnPolicy",
    "MultiInputPolicy",
    "LinearPolicy",
    "MlpLstmPolicy",
    "CnnLstmPolicy",
    "MultiInputLstmPolicy",
}
ACTIVATIONS = {"Tanh": "tanh", "ReLU": "relu", "ELU": "elu", "GELU": "gelu", "SiLU": "silu"}
# The keys that are no hyperparameters.
KEYS = (
    "n_timesteps",
    "n_envs",
    "frame_stack",
    "normalize",
    "env_wrapper",
    "policy",
    "policy_kwargs",
    "replay_buffer_class",
    "replay_buffer_kwargs",
    "env_kwargs",
    "optimize_memory_usage",
)
# How the expressions begin that the zoo writes as text.
EXPRESSIONS = ("dict(", "{", "[", "(")
# What a policy may be given by name; anything else in `policy_kwargs` is refused.
NETWORKS = {"pi": "net_arch", "vf": "critic_net_arch", "qf": "critic_net_arch"}


@dataclass(slots=True)
class ZooEntry:
    """What the zoo says of one environment.

    Attributes:
        spec: Fields for `RunSpec.from_dict`, without algorithm and environment.
        notes: What could not be carried over, in words.
    """

    spec: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_zoo_yaml(
    text: str, algorithm: str, only: Collection[str] | None = None
) -> dict[str, ZooEntry]:
    """Read a file of hyperparameters as RL-Baselines3-Zoo writes them.

    Args:
        text: The YAML text.
        algorithm: Name of our algorithm that the file is about.
        only: Environments to read; None reads all of them.

    Returns:
        What the file says, by environment (and `atari`, `default`, which are the zoo's own words
        for all of them).

    Raises:
        InvalidSpec: The text is no such YAML, is too large, or has a key that we do not know;
            unknown keys are named.
    """
    entries, errors = {}, []
    environments, document = _environments(text)
    for environment, fields in environments.items():
        if only is not None and environment not in only:
            continue
        try:
            entries[str(environment)] = _entry(fields, ALGORITHMS[algorithm])
        except InvalidSpec as refused:
            for error in refused.errors:
                place = document.shown_at(str(environment), *error.field.split("."))
                name = f"{environment}.{error.field}".rstrip(".")
                errors.append(FieldError(name, f"{error.message}{place}"))
    if errors:
        raise InvalidSpec(errors)
    return entries


def find_zoo_entry(text: str, algorithm: str, environment: str) -> ZooEntry:
    """Read what a file says of one environment; nothing else in it is judged.

    As in the zoo an Atari game without an entry of its own has that of `atari`, and any other
    environment that of `default`.

    Raises:
        InvalidSpec: As for `read_zoo_yaml`, and when there is no entry.
    """
    names = [str(name) for name in _environments(text)[0]]
    is_atari = family_name(environment) == "atari"
    wanted = [environment, environment.rpartition(":")[2], *["atari"] * is_atari, "default"]
    found = next((name for name in wanted if name in names), None)
    if found is None:
        hint = did_you_mean(environment, names, 3)
        raise _refused("", f"it says nothing of {environment}, and has no default{hint}")
    entry = read_zoo_yaml(text, algorithm, only=[found])[found]
    if found not in wanted[:2]:
        entry.notes.append(f"it says nothing of {environment}; taken is what it says of {found}")
    return entry


def spec_data_over(entry: ZooEntry, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return data for `RunSpec.from_dict`: what is given, and the entry's for the rest.

    Args:
        entry: What the zoo says.
        given: Fields of a spec, and `length`; they win, hyperparameters one by one.
    """
    data = {**entry.spec, **given}
    for name in ("hyperparameters", "environment_kwargs"):
        data[name] = {**entry.spec.get(name, {}), **given.get(name, {})}
    if "normalize" in given:
        data["normalize"] = normalization_over(entry.spec.get("normalize"), given["normalize"])
    if "length" in given and "total_timesteps" not in given:
        data.pop("total_timesteps", None)
    return data


def _environments(text: str) -> tuple[dict[Any, Any], Document]:
    document = plain_yaml.read(text)
    if document.repeated:
        raise _refused("", f"given twice: {', '.join(document.repeated)}; leave one of them out")
    if not isinstance(document.value, dict):
        kind = type(document.value).__name__
        raise _refused("", f"{kind} is not an object of environments by name")
    return document.value, document


def _refused(name: str, message: str) -> InvalidSpec:
    return InvalidSpec([FieldError(name, message)])


def _entry(fields: Any, algorithm: Algorithm) -> ZooEntry:
    if not isinstance(fields, dict):
        raise _refused("", f"{shown(fields)} is not an object of values by name")
    entry, unknown = carried_over(fields, algorithm)
    if unknown:
        raise InvalidSpec(
            [
                FieldError(name, f"not supported; leave it out{_meant(name, algorithm)}")
                for name in unknown
            ]
        )
    hyperparameters = entry.spec["hyperparameters"]
    _fit_batch(hyperparameters, entry, algorithm)
    values, errors = algorithm.resolve(hyperparameters)
    if errors:
        raise InvalidSpec(errors)
    entry.spec["hyperparameters"] = {name: values[name] for name in hyperparameters}
    return entry


def _meant(name: str, algorithm: Algorithm) -> str:
    return did_you_mean(name, [*KEYS, *algorithm.hyperparameters])


def carried_over(
    fields: Mapping[Any, Any], algorithm: Algorithm
) -> tuple[ZooEntry, dict[str, Any]]:
    """Take the zoo's keys into fields of a spec.

    Args:
        fields: Values by the zoo's names, of a file or of `-params`.
        algorithm: The algorithm that they are about.

    Returns:
        What they say, hyperparameters unchecked; and what is not known among them.

    Raises:
        InvalidSpec: A value is not what the zoo has there.
    """
    entry = ZooEntry()
    hyperparameters: dict[str, Any] = {}
    unknown = {}
    for name, value in fields.items():
        if name == "policy_kwargs":
            hyperparameters |= _policy_kwargs(value, entry)
        elif name == "replay_buffer_kwargs" and "replay_buffer_class" in fields:
            hyperparameters |= _hindsight(value)
        elif name in algorithm.hyperparameters and name != "policy":
            hyperparameters[name] = _plain(name, value)
        elif not _take(entry, str(name), value, hyperparameters, algorithm):
            unknown[str(name)] = value
    entry.spec["hyperparameters"] = hyperparameters
    return entry, unknown


def _take(
    entry: ZooEntry, name: str, value: Any, hyperparameters: dict[str, Any], algorithm: Algorithm
) -> bool:
    """Take a key that is no hyperparameter into the entry, and say whether it is known."""
    can_hindsight = "her" in algorithm.hyperparameters
    if name == "n_timesteps":
        entry.spec["total_timesteps"] = _whole(name, value)
    elif name in {"n_envs", "frame_stack"}:
        entry.spec[name] = _whole(name, value)
    elif name == "normalize":
        entry.spec["normalize"] = _normalize(value)
    elif name == "env_wrapper":
        entry.spec["wrappers"] = read_wrappers(value, entry)
    elif name == "policy":
        if not isinstance(value, str) or value not in POLICIES:
            allowed = f"{', '.join(sorted(POLICIES))}{did_you_mean(value, POLICIES)}"
            raise _refused(name, f"{shown(value)} is not one of {allowed}")
        if "policy" in algorithm.hyperparameters:
            hyperparameters["policy"] = "linear" if value == "LinearPolicy" else "mlp"
    elif (name, value) == ("replay_buffer_class", "HerReplayBuffer") and can_hindsight:
        hyperparameters["her"] = True
    elif name == "env_kwargs" and isinstance(given := _expression(name, value), dict):
        entry.spec["environment_kwargs"] = {**entry.spec.get("environment_kwargs", {}), **given}
    elif name == "optimize_memory_usage" and value is False:
        pass
    else:
        return False
    return True


def _expression(name: str, value: Any) -> Any:
    """Read a value that the zoo also writes as text: `dict(…)`, `(1, 'episode')`, `['a.B']`."""
    if isinstance(value, str) and value.strip().startswith(EXPRESSIONS):
        return _read(name, value)
    return value


def _read(name: str, text: str) -> Any:
    try:
        return parse_expression(text)
    except InvalidSpec as refused:
        raise _refused(name, refused.errors[0].message) from refused


def _plain(name: str, value: Any) -> Any:
    if name != "train_freq":
        return value
    match _expression(name, value):
        case [1, "episode"]:
            return "episode"
        case [count, "step"]:
            return count
        case [_, "episode"]:
            message = f"{shown(value)} is not allowed; write (1, 'episode') or a number of steps"
            raise _refused(name, message)
        case other:
            return other


def _whole(name: str, value: Any) -> int:
    number = whole_number(value)
    if number is None or number < 0:
        raise _refused(name, f"{shown(value)} is not a whole number")
    return number


def _normalize(value: Any) -> dict[str, Any] | None:
    given = read_normalize(value)
    values, errors = resolve_normalization(given)
    if errors:
        raise InvalidSpec(errors)
    if values is None or given is True:
        return values and {}
    return {name: values[name] for name in given}


def read_normalize(value: Any) -> Any:
    """Read what stands after `normalize:`, where the zoo also writes `dict(norm_obs=True)`.

    Raises:
        InvalidSpec: It is text and no such expression.
    """
    return _read("normalize", value) if isinstance(value, str) else value


def read_wrappers(value: Any, entry: ZooEntry) -> list[Any]:
    """Read what stands after `env_wrapper:`; `module.Class` becomes our `module:Class`.

    Args:
        value: A wrapper, or several, innermost first; with its arguments an object of one key.
        entry: Takes what a wrapper needs of the environment.

    Raises:
        InvalidSpec: One of them is no wrapper.
    """
    wrappers: list[Any] = []
    value = _expression("env_wrapper", value)
    for item in value if isinstance(value, list) else [value]:
        dotted: Any = item
        kwargs: Any = {}
        if isinstance(item, dict) and len(item) == 1:
            ((dotted, kwargs),) = item.items()
        if not isinstance(dotted, str):
            raise _refused("env_wrapper", f"{shown(item)} is not a wrapper")
        if dotted == ATARI_WRAPPER:
            wrappers += _atari_wrappers(kwargs)
            # They take every frame as the emulator shows it, one by one.
            given = entry.spec.get("environment_kwargs", {})
            entry.spec["environment_kwargs"] = {**FAMILIES["atari"].kwargs, **given}
            continue
        module, _, name = dotted.rpartition("." if ":" not in dotted else ":")
        path = f"{module}:{name}"
        wrapper = {"path": path, "kwargs": kwargs} if kwargs else path
        if wrong_with_wrapper(wrapper):
            raise _refused("env_wrapper", f"{shown(item)} is not a wrapper")
        wrappers.append(wrapper)
    return wrappers


def _atari_wrappers(kwargs: Any) -> list[Any]:
    if kwargs not in ({}, {"terminal_on_life_loss": False}):
        raise _refused("env_wrapper", f"{shown(kwargs)} is not supported for AtariWrapper")
    ours = FAMILIES["atari"].wrappers
    return [path for path in ours if not (kwargs and path.endswith(":LifeIsEpisode"))]


def _hindsight(value: Any) -> dict[str, Any]:
    given = _expression("replay_buffer_kwargs", value)
    if not isinstance(given, dict) or not given.keys() <= HINDSIGHT_KEYWORDS:
        allowed = ", ".join(sorted(HINDSIGHT_KEYWORDS))
        raise _refused("replay_buffer_kwargs", f"{shown(value)} is not dict(…) of {allowed}")
    return given


def _policy_kwargs(value: Any, entry: ZooEntry) -> dict[str, Any]:
    given = _expression("policy_kwargs", value)
    if not isinstance(given, dict):
        raise _refused("policy_kwargs", f"{shown(value)} is not dict(…)")
    ours: dict[str, Any] = {}
    for name, part in given.items():
        if name == "net_arch" and isinstance(part, dict):
            if not set(part) <= set(NETWORKS):
                raise _refused("policy_kwargs.net_arch", f"{shown(part)} is not supported")
            ours |= {NETWORKS[role]: widths for role, widths in part.items()}
        elif name == "activation_fn":
            ours[name] = ACTIVATIONS.get(str(part).rpartition(".")[2], part)
        elif name in {"optimizer_class", "optimizer_kwargs"}:
            entry.notes.append(f"without its {name}")
        else:
            ours[str(name)] = part
    if ours.get("net_arch") == ours.get("critic_net_arch"):
        ours.pop("critic_net_arch", None)
    return ours


def _fit_batch(values: dict[str, Any], entry: ZooEntry, algorithm: Algorithm) -> None:
    """Lower a batch that is larger than the rollout to the rollout: the library does the same."""
    if not algorithm.is_on_policy or "batch_size" not in algorithm.hyperparameters:
        return
    schemas = algorithm.hyperparameters
    n_steps = values.get("n_steps", schemas["n_steps"].default)
    batch_size = values.get("batch_size", schemas["batch_size"].default)
    if not all(type(number) is int for number in (n_steps, batch_size)):
        return
    samples = n_steps * entry.spec.get("n_envs", 1)
    if batch_size > samples:
        values["batch_size"] = samples
        entry.notes.append(f"batch_size {batch_size} is more than a rollout: {samples}")
