"""The keys of RL-Baselines3-Zoo's files of hyperparameters, each read into fields of a spec.

The zoo writes some values as Python; they are read as expressions, and nothing in them is run.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.off_policy import HINDSIGHT_KEYWORDS
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.ids import wrong_with_wrapper
from apps.catalogue.normalizing import resolve_normalization
from apps.errors import FieldError, InvalidSpec
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


@dataclass(slots=True)
class _Taken:
    """What was read so far.

    Attributes:
        algorithm: The algorithm that it is about.
        names_buffer: Whether a class of replay buffer is named, so that it may have keywords.
        entry: Fields of the spec, and notes.
        hyperparameters: Those of the algorithm, unchecked.
    """

    algorithm: Algorithm
    names_buffer: bool
    entry: ZooEntry = field(default_factory=ZooEntry)
    hyperparameters: dict[str, Any] = field(default_factory=dict)


def _steps(taken: _Taken, name: str, value: Any) -> bool:
    taken.entry.spec["total_timesteps"] = _whole(name, value)
    return True


def _count(taken: _Taken, name: str, value: Any) -> bool:
    taken.entry.spec[name] = _whole(name, value)
    return True


def _normalize(taken: _Taken, _: str, value: Any) -> bool:
    given = read_normalize(value)
    values, errors = resolve_normalization(given)
    if errors:
        raise InvalidSpec(errors)
    if values:
        values = {} if given is True else {name: values[name] for name in given}
    taken.entry.spec["normalize"] = values
    return True


def _wrappers(taken: _Taken, _: str, value: Any) -> bool:
    taken.entry.spec["wrappers"] = read_wrappers(value, taken.entry)
    return True


def _policy(taken: _Taken, name: str, value: Any) -> bool:
    if not isinstance(value, str) or value not in POLICIES:
        allowed = f"{', '.join(sorted(POLICIES))}{did_you_mean(value, POLICIES)}"
        raise refused(name, f"{shown(value)} is not one of {allowed}")
    if "policy" in taken.algorithm.hyperparameters:
        taken.hyperparameters["policy"] = "linear" if value == "LinearPolicy" else "mlp"
    return True


def _policy_kwargs(taken: _Taken, key: str, value: Any) -> bool:
    given = _expression(key, value)
    if not isinstance(given, dict):
        raise refused(key, f"{shown(value)} is not dict(…)")
    ours: dict[str, Any] = {}
    for name, part in given.items():
        if name == "net_arch" and isinstance(part, dict):
            if not set(part) <= set(NETWORKS):
                raise refused(f"{key}.net_arch", f"{shown(part)} is not supported")
            ours |= {NETWORKS[role]: widths for role, widths in part.items()}
        elif name == "activation_fn":
            ours[name] = ACTIVATIONS.get(str(part).rpartition(".")[2], part)
        elif name in {"optimizer_class", "optimizer_kwargs"}:
            taken.entry.notes.append(f"without its {name}")
        else:
            ours[str(name)] = part
    if ours.get("net_arch") == ours.get("critic_net_arch"):
        ours.pop("critic_net_arch", None)
    taken.hyperparameters |= ours
    return True


def _buffer_class(taken: _Taken, _: str, value: Any) -> bool:
    if value != "HerReplayBuffer" or "her" not in taken.algorithm.hyperparameters:
        return False
    taken.hyperparameters["her"] = True
    return True


def _buffer_kwargs(taken: _Taken, name: str, value: Any) -> bool:
    if not taken.names_buffer:
        return False
    given = _expression(name, value)
    if not isinstance(given, dict) or not given.keys() <= HINDSIGHT_KEYWORDS:
        allowed = ", ".join(sorted(HINDSIGHT_KEYWORDS))
        raise refused(name, f"{shown(value)} is not dict(…) of {allowed}")
    taken.hyperparameters |= given
    return True


def _environment_kwargs(taken: _Taken, name: str, value: Any) -> bool:
    given = _expression(name, value)
    if not isinstance(given, dict):
        return False
    spec = taken.entry.spec
    spec["environment_kwargs"] = {**spec.get("environment_kwargs", {}), **given}
    return True


def _memory(_: _Taken, name: str, value: Any) -> bool:
    return value is False  # The other way is not offered, so there is nothing to take.


# How each key that is no hyperparameter is read; False: what it says is not known here.
READERS: dict[str, Callable[[_Taken, str, Any], bool]] = {
    "n_timesteps": _steps,
    "n_envs": _count,
    "frame_stack": _count,
    "normalize": _normalize,
    "env_wrapper": _wrappers,
    "policy": _policy,
    "policy_kwargs": _policy_kwargs,
    "replay_buffer_class": _buffer_class,
    "replay_buffer_kwargs": _buffer_kwargs,
    "env_kwargs": _environment_kwargs,
    "optimize_memory_usage": _memory,
}


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
    taken = _Taken(algorithm, "replay_buffer_class" in fields)
    unknown = {}
    for name, value in fields.items():
        if name in READERS:
            if not READERS[name](taken, name, value):
                unknown[str(name)] = value
        elif name in algorithm.hyperparameters:
            taken.hyperparameters[name] = _plain(name, value)
        else:
            unknown[str(name)] = value
    taken.entry.spec["hyperparameters"] = taken.hyperparameters
    return taken.entry, unknown


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
            raise refused("env_wrapper", f"{shown(item)} is not a wrapper")
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
            raise refused("env_wrapper", f"{shown(item)} is not a wrapper")
        wrappers.append(wrapper)
    return wrappers


def _atari_wrappers(kwargs: Any) -> list[Any]:
    if kwargs not in ({}, {"terminal_on_life_loss": False}):
        raise refused("env_wrapper", f"{shown(kwargs)} is not supported for AtariWrapper")
    ours = FAMILIES["atari"].wrappers
    return [path for path in ours if not (kwargs and path.endswith(":LifeIsEpisode"))]


def _expression(name: str, value: Any) -> Any:
    """Read a value that the zoo also writes as text: `dict(…)`, `(1, 'episode')`, `['a.B']`."""
    if isinstance(value, str) and value.strip().startswith(EXPRESSIONS):
        return _read(name, value)
    return value


def _read(name: str, text: str) -> Any:
    try:
        return parse_expression(text)
    except InvalidSpec as told:
        raise refused(name, told.errors[0].message) from told


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
            raise refused(name, message)
        case other:
            return other


def _whole(name: str, value: Any) -> int:
    number = whole_number(value)
    if number is None or number < 0:
        raise refused(name, f"{shown(value)} is not a whole number")
    return number


def refused(name: str, message: str) -> InvalidSpec:
    """Return the refusal of one key, or of the whole where the name is empty."""
    return InvalidSpec([FieldError(name, message)])
