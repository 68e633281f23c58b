"""The options of a command that say what to train: written once, read into a spec's data."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.cli.option_parser import whole
from apps.errors import FieldError, InvalidSpec
from apps.foreign.plain_yaml import MAX_YAML_BYTES
from apps.foreign.zoo import find_zoo_entry, spec_data_over
from apps.foreign.zoo_keys import ZooEntry, carried_over, read_normalize, read_wrappers
from apps.jobs.verbs import weights
from apps.jobs.verbs.weights import Start
from apps.spec.assignments import parse_assignments
from apps.spec.fields import DEFAULT_ALGORITHM, DEFAULT_ENVIRONMENT, FIELDS
from apps.spec.schema import Field
from apps.text.suggestions import did_you_mean

# What is often looked for among the hyperparameters, and where it is said.
ELSEWHERE = {
    **{row.name: row.option for row in FIELDS.values() if row.flags},
    **{
        flag.lstrip("-").replace("-", "_"): row.option
        for row in FIELDS.values()
        for flag in row.flags
    },
    "timesteps": "-n N",
    "vec_env_class": "--vectorization NAME",
    "vec_env_wrapper": "--wrapper module:Class",
}
SWITCHES = {"true": True, "false": False}


def add_spec_options(parser: CommandParser) -> None:
    """Add the options that `asked_of` reads."""
    add_options(parser, FIELDS.values())
    parser.add_argument(
        "-i",
        "--trained-agent",
        dest="init",
        metavar="RUN[@STEP]|FILE.zip",
        help="start from the weights of a checkpoint or of a model file",
    )
    parser.add_argument(
        "-conf",
        "--conf-file",
        dest="conf",
        metavar="FILE.yml",
        help="hyperparameters as RL-Baselines3-Zoo writes them; other options win over them",
    )


def add_options(parser: CommandParser, rows: Iterable[Field]) -> None:
    """Add the options of fields of a spec, each read into its own name."""
    for row in rows:
        if row.flags:
            how = _how_to_read(row)
            parser.add_argument(*row.flags, dest=row.name, help=row.help_line, **how)


def _how_to_read(row: Field) -> dict[str, Any]:
    if row.kind == "bool":
        return {"action": "store_true"}
    if row.kind == "list":
        return {"nargs": "+", "action": "append", "metavar": row.metavar}
    if row.kind == "object":  # Where none at all is a choice, no words stand for its defaults.
        many: dict[str, Any] = {"nargs": "*"} if row.is_optional else {"nargs": "+", "default": []}
        return {**many, "metavar": row.metavar}
    if row.kind == "int":
        return {"type": whole, "metavar": row.metavar or "N"}
    return {"metavar": row.metavar or "NAME"}


def asked_of(
    options: dict[str, Any], tell: Callable[[str], object]
) -> tuple[dict[str, Any], Start | None]:
    """Return the data of the spec that a command's options describe, and what it starts from.

    Args:
        options: The command's options.
        tell: Called with each thing in a file of RL-Baselines3-Zoo that is not carried over.

    Raises:
        InvalidSpec: An option cannot be read, or the weights are not fit to start from.
        CommandError: The file of `-conf` cannot be read.
    """
    start = weights.from_text(options["init"]) if options["init"] else None
    algorithm = options["algorithm"] or _algorithm_of(start)
    data = _spec_of(options, algorithm, tell)
    if not options["conf"]:
        return data, start
    if "preset" in data:
        raise CommandError("give either --preset or -conf, not both")
    parent = start.origin.parent if start else None
    known = parent.environment if parent else DEFAULT_ENVIRONMENT
    entry = _zoo_entry(options["conf"], algorithm, data.get("environment", known))
    for note in entry.notes:
        tell(note)
    return spec_data_over(entry, data), start


def _algorithm_of(start: Start | None) -> str:
    """Return the algorithm of what a run starts from, else the default."""
    if start is None:
        return DEFAULT_ALGORITHM
    parent = start.origin.parent
    known = (parent.algorithm,) if parent else start.file.algorithms
    return known[0] if known else DEFAULT_ALGORITHM


def _zoo_entry(path: str, algorithm: str, environment: str) -> ZooEntry:
    if algorithm not in ALGORITHMS:
        listed = f"{', '.join(ALGORITHMS)}{did_you_mean(algorithm, ALGORITHMS)}"
        raise CommandError(f"{algorithm!r} is not an algorithm; allowed: {listed}")
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_YAML_BYTES + 1).decode()
        return find_zoo_entry(text, algorithm, environment)
    except (OSError, ValueError) as error:
        raise CommandError(f"-conf {path} cannot be read: {error}") from error
    except InvalidSpec as refused:
        raise CommandError(f"-conf {path}: {refused}") from refused


def _spec_of(
    options: dict[str, Any], algorithm: str, tell: Callable[[str], object]
) -> dict[str, Any]:
    data = read_options(options, FIELDS.values())
    return with_hyperparameters(data, options, algorithm, tell)


def read_options(options: dict[str, Any], rows: Iterable[Field]) -> dict[str, Any]:
    """Return the fields of a spec that were given, but for what `with_hyperparameters` reads.

    Raises:
        InvalidSpec: A word is not name:value, or a wrapper is none.
    """
    data: dict[str, Any] = {}
    for row in rows:
        given = options.get(row.name)
        if row.kind == "bool":
            data |= {row.name: not row.default} if given else {}
        elif row.kind in {"int", "choice", "text"} and given is not None:
            data[row.name] = given
    if options.get("early_stop") is not None:
        data["early_stop"] = parse_assignments(options["early_stop"], "--early-stop")
    return {**data, **_read_world(options)}


def _read_world(options: dict[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    kwargs = parse_assignments(options["environment_kwargs"], "--env-kwargs")
    if options["wrappers"] is not None:
        is_none = options["wrappers"] == [["none"]]
        entry = ZooEntry()
        named = [] if is_none else [_wrapper(*words) for words in options["wrappers"]]
        fields["wrappers"] = read_wrappers(named, entry)
        kwargs = {**entry.spec.get("environment_kwargs", {}), **kwargs}
    return {**fields, "environment_kwargs": kwargs} if kwargs else fields


def _wrapper(path: str, *words: str) -> Any:
    return {path: parse_assignments([*words], "--wrapper")} if words else path


def with_hyperparameters(
    data: dict[str, Any],
    options: dict[str, Any],
    algorithm: str,
    tell: Callable[[str], object],
) -> dict[str, Any]:
    """Return fields of a spec with `hyperparameters`, and what else `-params` says of it.

    Args:
        data: The fields that other options gave.
        options: The command's options.
        algorithm: Name of the algorithm that they are for.
        tell: Called with what RL-Baselines3-Zoo has there and cannot be carried over.

    Raises:
        InvalidSpec: A word is not name:value, is given twice, or is said elsewhere.
    """
    given = parse_assignments(options["hyperparameters"], "-params")
    fields: dict[str, Any] = {}
    if "normalize" in given:  # As RL-Baselines3-Zoo has it: -params normalize:True
        fields["normalize"] = read_normalize(given.pop("normalize"))
    known = ALGORITHMS.get(algorithm, ALGORITHMS[DEFAULT_ALGORITHM])
    entry, unknown = carried_over(given, known)
    for note in entry.notes:
        tell(note)
    fields |= entry.spec
    fields["hyperparameters"] |= unknown
    if options["normalize"] is not None:
        data = {**data, "normalize": _read_normalize_option(options["normalize"])}
    refused = [*_said_elsewhere(unknown), *_given_twice(data, fields)]
    if refused:
        raise InvalidSpec(refused)
    return {**data, **fields}


def _read_normalize_option(words: list[str]) -> Any:
    if len(words) == 1 and words[0].lower() in SWITCHES:
        return SWITCHES[words[0].lower()]
    return parse_assignments(words, "--normalize")


def _said_elsewhere(unknown: Iterable[str]) -> list[FieldError]:
    """Refuse what is no hyperparameter but has an option of its own."""
    return [
        FieldError(f"-params {name}", f"is no hyperparameter here; write {ELSEWHERE[name]}")
        for name in unknown
        if name in ELSEWHERE
    ]


def _given_twice(data: Iterable[str], fields: Iterable[str]) -> list[FieldError]:
    message = "given in -params and by an option of its own; leave one of them out"
    return [FieldError(name, message) for name in fields if name in data]
