"""RL-Baselines3-Zoo's YAML files of hyperparameters, read without running anything in them.

`read_zoo_yaml` turns a file into fields of a spec, `find_zoo_entry` what it says of one
environment.
"""

from collections.abc import Collection, Mapping
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.ids import family_name
from apps.catalogue.normalizing import normalization_over
from apps.errors import FieldError, InvalidSpec
from apps.foreign import plain_yaml
from apps.foreign.plain_yaml import Document
from apps.foreign.zoo_keys import READERS, ZooEntry, carried_over, refused
from apps.text.suggestions import did_you_mean
from apps.words import shown


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
        except InvalidSpec as told:
            for error in told.errors:
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
        raise refused("", f"it says nothing of {environment}, and has no default{hint}")
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
        raise refused("", f"given twice: {', '.join(document.repeated)}; leave one of them out")
    if not isinstance(document.value, dict):
        kind = type(document.value).__name__
        raise refused("", f"{kind} is not an object of environments by name")
    return document.value, document


def _entry(fields: Any, algorithm: Algorithm) -> ZooEntry:
    if not isinstance(fields, dict):
        raise refused("", f"{shown(fields)} is not an object of values by name")
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
    return did_you_mean(name, [*READERS, *algorithm.hyperparameters])


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
