"""RL-Baselines3-Zoo's YAML files of hyperparameters, read without running anything in them.

`read_zoo_yaml` turns a file into fields of a spec. `python -m apps.engine.zoo FOLDER VERSION`
reads the files of an unpacked rl_zoo3 package and rewrites `data/zoo_presets.json`, from which the
High score presets come. Values are figures; no text of the zoo is copied.
"""

import argparse
import ast
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from apps.engine import safe_yaml
from apps.engine.algorithms import ALGORITHMS, Algorithm, shown
from apps.engine.environment_cards import ENVIRONMENTS, FAMILIES
from apps.engine.environments import wrong_with_wrapper
from apps.engine.errors import FieldError, InvalidSpec
from apps.engine.hyperparameter_groups import HINDSIGHT_KEYWORDS
from apps.engine.safe_yaml import MAX_DEPTH

MAX_EXPRESSION_LENGTH = 4096

# The zoo's name of a file -> our name of the algorithm.
ALGORITHM_FILES = {"ppo_lstm": "recurrent_ppo", **{name: name for name in ALGORITHMS}}
ATARI_WRAPPER = "stable_baselines3.common.atari_wrappers.AtariWrapper"
POLICIES = {
    "MlpPolicy", "CnnPolicy", "MultiInputPolicy", "LinearPolicy",
    "MlpLstmPolicy", "CnnLstmPolicy", "MultiInputLstmPolicy",
}  # fmt: skip
ACTIVATIONS = {"Tanh": "tanh", "ReLU": "relu", "ELU": "elu", "GELU": "gelu", "SiLU": "silu"}
# What a policy may be given by name; anything else in `policy_kwargs` is refused.
NETWORKS = {"pi": "net_arch", "vf": "critic_net_arch", "qf": "critic_net_arch"}
# Keywords of VecNormalize that an entry may give, with the types of their values.
NORMALIZE_KEYWORDS: dict[str, tuple[type, ...]] = {
    "norm_obs": (bool,), "norm_reward": (bool,), "gamma": (int, float),
    "clip_obs": (int, float), "clip_reward": (int, float),
}  # fmt: skip


@dataclass(slots=True)
class ZooEntry:
    """What the zoo says of one environment.

    Attributes:
        spec: Fields for `RunSpec.from_dict`, without algorithm and environment.
        normalize: What VecNormalize is given, None without it.
        notes: What could not be carried over, in words.
    """

    spec: dict[str, Any] = field(default_factory=dict)
    normalize: dict[str, Any] | None = None
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
    data = safe_yaml.read(text).value
    if not isinstance(data, dict):
        raise _refused("", f"{type(data).__name__} is not an object of environments by name")
    entries, errors = {}, []
    for environment, fields in data.items():
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
        entry.normalize = _normalize(value)
    elif name == "env_wrapper":
        entry.spec["wrappers"] = _wrappers(value)
    elif name == "policy":
        if not isinstance(value, str) or value not in POLICIES:
            raise _refused(name, f"{shown(value)} is not one of {', '.join(sorted(POLICIES))}")
        if "policy" in algorithm.hyperparameters:
            hyperparameters["policy"] = "linear" if value == "LinearPolicy" else "mlp"
    elif (name, value) == ("replay_buffer_class", "HerReplayBuffer") and can_hindsight:
        hyperparameters["her"] = True
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
    if isinstance(value, str):
        value = parse_expression(value)
    if isinstance(value, bool):
        return {} if value else None
    if not isinstance(value, dict) or not all(
        type(given) in NORMALIZE_KEYWORDS.get(name, ()) for name, given in value.items()
    ):
        raise _refused("normalize", f"{shown(value)} is not one of true, false, dict(norm_obs=…)")
    return value


def _wrappers(value: Any) -> list[Any]:
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


def _wanted() -> dict[str, str]:
    """Return the zoo's name of each environment that we have a card of, with ours.

    The zoo tuned version 4 of the MuJoCo environments; ours are version 5.
    """
    names = {id_: id_ for id_ in ENVIRONMENTS}
    names |= {
        id_.replace("-v5", "-v4"): id_
        for id_, card in ENVIRONMENTS.items()
        if card.family == "mujoco"
    }
    return {**names, "atari": "atari"}


def collect_presets(files: Mapping[str, str], version: str) -> dict[str, Any]:
    """Return the content of `data/zoo_presets.json`.

    Args:
        files: Text of each YAML file by its name without suffix.
        version: Version of the rl_zoo3 package.
    """
    wanted = _wanted()
    presets: dict[str, dict[str, Any]] = {}
    for name, text in sorted(files.items()):
        algorithm = ALGORITHM_FILES.get(name)
        if algorithm is None:
            continue
        for environment, entry in read_zoo_yaml(text, algorithm, only=wanted).items():
            if not _has_only_our_wrappers(wanted[environment], entry):
                continue
            presets.setdefault(algorithm, {})[wanted[environment]] = {
                "from": f"{name}.yml, {environment}",
                "n_envs": entry.spec.get("n_envs", 1),
                "total_timesteps": entry.spec.get("total_timesteps"),
                "hyperparameters": entry.spec["hyperparameters"],
                "normalize": entry.normalize,
                "notes": entry.notes,
            }
    return {"source": f"RL-Baselines3-Zoo {version}", "licence": "MIT", "presets": presets}


def _has_only_our_wrappers(environment: str, entry: ZooEntry) -> bool:
    """Note which wrappers of the family were not there; figures of other wrappers mean nothing."""
    card = ENVIRONMENTS.get(environment)
    family = FAMILIES[card.family if card else environment]
    wrappers = entry.spec.get("wrappers", [])
    missing = [path for path in family.wrappers if path not in wrappers]
    entry.notes += [f"tuned without {path.rpartition(':')[2]}" for path in missing]
    return (
        all(path in family.wrappers for path in wrappers)
        and entry.spec.get("frame_stack", 0) == family.frame_stack
    )


def main() -> None:
    """Rewrite the presets from an unpacked package."""
    parser = argparse.ArgumentParser(prog="python -m apps.engine.zoo", description=__doc__)
    parser.add_argument("folder", type=Path, help="rl_zoo3/hyperparams of the package")
    parser.add_argument("version", help="version of the package")
    options = parser.parse_args()
    files = {path.stem: path.read_text() for path in options.folder.glob("*.yml")}
    data = collect_presets(files, options.version)
    target = Path(__file__).parent / "data" / "zoo_presets.json"
    style = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    target.write_bytes(orjson.dumps(data, option=style))


if __name__ == "__main__":
    main()
