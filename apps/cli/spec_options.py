"""The options of a command that say what to train: written once, read into a spec's data."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.catalogue.algorithms.backends import BACKENDS
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.normalizing import NORMALIZATION
from apps.catalogue.presets.presets import LENGTH_TITLES, PRESET_TITLES
from apps.catalogue.stepping import VECTORIZATIONS
from apps.cli.option_parser import whole
from apps.errors import FieldError, InvalidSpec
from apps.foreign.plain_yaml import MAX_YAML_BYTES
from apps.foreign.zoo import find_zoo_entry, spec_data_over
from apps.foreign.zoo_keys import ZooEntry, carried_over, read_normalize, read_wrappers
from apps.jobs.verbs import weights
from apps.jobs.verbs.weights import Start
from apps.spec.assignments import parse_assignments
from apps.spec.run import DEFAULT_ALGORITHM, DEFAULT_ENVIRONMENT, DEVICES
from apps.text.suggestions import did_you_mean

# Command-line option -> field of the spec, for options that are passed on as they are.
SPEC_OPTIONS = {
    "algo": "algorithm",
    "env": "environment",
    "timesteps": "total_timesteps",
    "length": "length",
    "preset": "preset",
    "seed": "seed",
    "n_envs": "n_envs",
    "vectorization": "vectorization",
    "eval_freq": "eval_freq",
    "eval_episodes": "eval_episodes",
    "save_freq": "save_freq",
    "device": "device",
    "backend": "backend",
}
# What is often looked for among the hyperparameters, and where it is said.
ELSEWHERE = {
    **{field: f"--{option.replace('_', '-')}" for option, field in SPEC_OPTIONS.items()},
    **{option: f"--{option.replace('_', '-')}" for option in SPEC_OPTIONS},
    "timesteps": "-n N",
    "total_timesteps": "-n N",
    "film": "--no-video",
    "env_kwargs": "--env-kwargs NAME:VALUE",
    "environment_kwargs": "--env-kwargs NAME:VALUE",
    "wrapper": "--wrapper module:Class",
    "wrappers": "--wrapper module:Class",
    "early_stop": "--early-stop",
    "milestones": "--milestones",
    "tensorboard": "--tensorboard",
    "vec_env_class": "--vectorization NAME",
    "vec_env_wrapper": "--wrapper module:Class",
}
SWITCHES = {"true": True, "false": False}


def add_spec_options(parser: CommandParser) -> None:
    """Add the options that `asked_of` reads."""
    parser.add_argument("--algo", metavar="NAME", help=f"one of {', '.join(ALGORITHMS)}")
    parser.add_argument("--env", metavar="ID", help="Gymnasium id, or module:Env-v0 for your own")
    parser.add_argument("-n", dest="timesteps", type=whole, metavar="N", help="environment steps")
    parser.add_argument("--preset", metavar="NAME", help=f"one of {', '.join(PRESET_TITLES)}")
    parser.add_argument("--length", metavar="NAME", help=f"one of {', '.join(LENGTH_TITLES)}")
    parser.add_argument("--seed", type=whole)
    add_hyperparameters(parser)
    add_world(parser)
    parser.add_argument("--n-envs", type=whole, metavar="N", help="parallel environments")
    parser.add_argument(
        "--vectorization", metavar="NAME", help=f"one of {', '.join(VECTORIZATIONS)}"
    )
    parser.add_argument("--eval-freq", type=whole, metavar="N", help="steps between evaluations")
    parser.add_argument("--eval-episodes", type=whole, metavar="N")
    parser.add_argument("--save-freq", type=whole, metavar="N", help="steps between checkpoints")
    parser.add_argument(
        "--milestones", action="store_true", help="evaluate and film each tenth of the run"
    )
    parser.add_argument(
        "--early-stop",
        nargs="*",
        metavar="NAME:VALUE",
        help="stop it when it is hopeless beside the other seeds (after_fraction, below)",
    )
    parser.add_argument("--no-video", action="store_true", help="do not film its evaluations")
    parser.add_argument(
        "--tensorboard", action="store_true", help="write its scalars for TensorBoard too"
    )
    parser.add_argument("--device", help=f"one of {', '.join(DEVICES)}")
    parser.add_argument("--backend", metavar="NAME", help=f"one of {', '.join(BACKENDS)}")
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
    algorithm = options["algo"] or _algorithm_of(start)
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
    data = {
        field: options[option]
        for option, field in SPEC_OPTIONS.items()
        if options[option] is not None
    }
    if options["early_stop"] is not None:
        data["early_stop"] = parse_assignments(options["early_stop"], "--early-stop")
    for switch in ("milestones", "tensorboard"):
        if options[switch]:
            data[switch] = True
    if options["no_video"]:
        data["film"] = False
    return with_hyperparameters({**data, **read_world(options)}, options, algorithm, tell)


def add_world(parser: CommandParser) -> None:
    """Add the options that say how the environment is made, which `read_world` reads."""
    parser.add_argument("--env-kwargs", nargs="+", default=[], metavar="NAME:VALUE")
    parser.add_argument(
        "--wrapper",
        nargs="+",
        action="append",
        metavar="WORD",
        help="module:Class [NAME:VALUE …], once for each, innermost first; or none",
    )
    parser.add_argument(
        "--frame-stack", type=whole, metavar="N", help="latest observations seen at once"
    )


def read_world(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields of a spec that say how its environment is made.

    Raises:
        InvalidSpec: A word is not name:value, or a wrapper is none.
    """
    fields: dict[str, Any] = {}
    if options["frame_stack"] is not None:
        fields["frame_stack"] = options["frame_stack"]
    kwargs = parse_assignments(options["env_kwargs"], "--env-kwargs")
    if options["wrapper"] is not None:
        is_none = options["wrapper"] == [["none"]]
        entry = ZooEntry()
        named = [] if is_none else [_wrapper(*words) for words in options["wrapper"]]
        fields["wrappers"] = read_wrappers(named, entry)
        kwargs = {**entry.spec.get("environment_kwargs", {}), **kwargs}
    return {**fields, "environment_kwargs": kwargs} if kwargs else fields


def _wrapper(path: str, *words: str) -> Any:
    return {path: parse_assignments([*words], "--wrapper")} if words else path


def add_hyperparameters(parser: CommandParser) -> None:
    """Add `-params` and `--normalize`."""
    parser.add_argument(
        "-params",
        "--hyperparams",
        dest="params",
        nargs="+",
        default=[],
        metavar="NAME:VALUE",
        help="hyperparameters; they win over all others",
    )
    parser.add_argument(
        "--normalize",
        nargs="*",
        metavar="KEY:VALUE",
        help="normalise observations and rewards, or false: neither; "
        f"keys: {', '.join(NORMALIZATION)}",
    )


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
    given = parse_assignments(options["params"], "-params")
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
