"""RL-Baselines3-Zoo's YAML files of hyperparameters, read without running anything in them.

`read_zoo_yaml` turns a file into fields of a spec, `find_zoo_entry` what it says of one
environment.
"""

import ast
import difflib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from apps.engine import safe_yaml
from apps.engine.algorithms import ALGORITHMS, Algorithm, shown
from apps.engine.environments import FAMILIES, family_name, wrong_with_wrapper
from apps.engine.errors import FieldError, InvalidSpec
from apps.engine.hyperparameter_groups import HINDSIGHT_KEYWORDS
from apps.engine.normalization import normalization_over, resolve_normalization
from apps.engine.safe_yaml import MAX_DEPTH

MAX_EXPRESSION_LENGTH = 4096

ATARI_WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
POLICIES = {
    "MlpPolicy", "CnnPolicy", "MultiInputPolicy", "LinearPolicy",
    "MlpLstmPolicy", "CnnLstmPolicy", "MultiInputLstmPolicy",
}  # fmt: skip
ACTIVATIONS = {"Tanh": "tanh", "ReLU": "relu", "ELU": "elu", "GELU": "gelu", "SiLU": "silu"}
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
    for environment, fields in _environments(text).items():
        if only is not None and environment not in only:
            continue
        try:
            entries[str(environment)] = _entry(fields, ALGORITHMS[algorithm])
        except InvalidSpec as refused:
            errors += [
                FieldError(f"{environment}.{error.field}".rstrip("."), error.message)
                for error in refused.errors
            ]
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
    names = [str(name) for name in _environments(text)]
    is_atari = family_name(environment) == "atari"
    wanted = [environment, environment.rpartition(":")[2], *["atari"] * is_atari, "default"]
    found = next((name for name in wanted if name in names), None)
    if found is None:
        close = difflib.get_close_matches(environment, names, n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
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


def _environments(text: str) -> dict[Any, Any]:
    data = safe_yaml.read(text).value
    if not isinstance(data, dict):
        raise _refused("", f"{type(data).__name__} is not an object of environments by name")
    return data


def _refused(name: str, message: str) -> InvalidSpec:
    return InvalidSpec([FieldError(name, message)])


def _entry(fields: Any, algorithm: Algorithm) -> ZooEntry:
    if not isinstance(fields, dict):
        raise _refused("", f"{shown(fields)} is not an object of values by name")
    entry = ZooEntry()
    hyperparameters: dict[str, Any] = {}
    unknown = []
    for name, value in fields.items():
        if name == "policy_kwargs":
            hyperparameters |= _policy_kwargs(value, entry)
        elif name == "replay_buffer_kwargs" and "replay_buffer_class" in fields:
            hyperparameters |= _hindsight(value)
        elif name in algorithm.hyperparameters and name != "policy":
            hyperparameters[name] = _plain(name, value)
        elif not _take(entry, str(name), value, hyperparameters, algorithm):
            unknown.append(str(name))
    if unknown:
        raise InvalidSpec([FieldError(name, "not supported; leave it out") for name in unknown])
    _fit_batch(hyperparameters, entry, algorithm)
    values, errors = algorithm.resolve(hyperparameters)
    if errors:
        raise InvalidSpec(errors)
    entry.spec["hyperparameters"] = {name: values[name] for name in hyperparameters}
    return entry


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
        entry.spec["wrappers"] = _wrappers(value, entry)
    elif name == "policy":
        if not isinstance(value, str) or value not in POLICIES:
            raise _refused(name, f"{shown(value)} is not one of {', '.join(sorted(POLICIES))}")
        if "policy" in algorithm.hyperparameters:
            hyperparameters["policy"] = "linear" if value == "LinearPolicy" else "mlp"
    elif (name, value) == ("replay_buffer_class", "HerReplayBuffer") and can_hindsight:
        hyperparameters["her"] = True
    elif name == "env_kwargs" and isinstance(value, dict):
        entry.spec["environment_kwargs"] = {**entry.spec.get("environment_kwargs", {}), **value}
    elif name == "optimize_memory_usage" and value is False:
        pass
    else:
        return False
    return True


def _plain(name: str, value: Any) -> Any:
    if name == "train_freq" and value == [1, "episode"]:
        return "episode"
    return value


def _whole(name: str, value: Any) -> int:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= 1e12 or value != int(value):
        raise _refused(name, f"{shown(value)} is not a whole number")
    return int(value)


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
    if not isinstance(value, str):
        return value
    try:
        return parse_expression(value)
    except InvalidSpec as refused:
        raise _refused("normalize", refused.errors[0].message) from refused


def _wrappers(value: Any, entry: ZooEntry) -> list[Any]:
    wrappers: list[Any] = []
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
        module, _, name = dotted.rpartition(".")
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
    given = parse_expression(value) if isinstance(value, str) else value
    if not isinstance(given, dict) or not given.keys() <= HINDSIGHT_KEYWORDS:
        allowed = ", ".join(sorted(HINDSIGHT_KEYWORDS))
        raise _refused("replay_buffer_kwargs", f"{shown(value)} is not dict(…) of {allowed}")
    return given


def _policy_kwargs(value: Any, entry: ZooEntry) -> dict[str, Any]:
    given = parse_expression(value) if isinstance(value, str) else value
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


def parse_expression(text: str) -> Any:
    """Read `dict(net_arch=[256, 256], activation_fn=nn.ReLU)`; nothing in it is ever run.

    Raises:
        InvalidSpec: It holds anything but `dict(…)`, literals, lists and dotted names.
    """
    if len(text) > MAX_EXPRESSION_LENGTH:
        raise _refused("", f"an expression is longer than {MAX_EXPRESSION_LENGTH} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
        return _value_of(tree.body, 0)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _refused("", f"{shown(text)} cannot be read: {shown(str(error))}") from error


def _value_of(node: ast.expr, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    deeper = depth + 1
    match node:
        case ast.Constant(value=bool() | int() | float() | str() | None as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)):
            return -number
        case ast.List(elts=elements) | ast.Tuple(elts=elements):
            return [_value_of(element, deeper) for element in elements]
        case ast.Dict(keys=keys, values=values) if None not in keys:
            pairs = zip(keys, values, strict=True)
            return {_name_of(key): _value_of(value, deeper) for key, value in pairs}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords):
            if any(keyword.arg is None for keyword in keywords):
                raise ValueError("** is not allowed")
            return {str(k.arg): _value_of(k.value, deeper) for k in keywords}
        case ast.Attribute(value=inner, attr=attribute):
            return f"{_value_of(inner, deeper)}.{attribute}"
        case ast.Name(id=name):
            return name
    raise ValueError(f"{type(node).__name__} is not allowed")


def _name_of(key: ast.expr | None) -> str:
    if isinstance(key, ast.Constant) and isinstance(key.value, str):
        return key.value
    raise ValueError("a key is not text")
