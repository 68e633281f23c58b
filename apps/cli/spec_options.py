"""The options of a command that say what to train: written once, read into a spec's data."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from apps.engine.algorithms import ALGORITHMS
from apps.engine.assignments import parse_assignments
from apps.engine.backends import BACKENDS
from apps.engine.errors import InvalidSpec
from apps.engine.normalization import NORMALIZATION
from apps.engine.presets import LENGTH_TITLES, PRESET_TITLES
from apps.engine.safe_yaml import MAX_YAML_BYTES
from apps.engine.spec import DEFAULT_ALGORITHM, DEFAULT_ENVIRONMENT, DEVICES
from apps.engine.vectorization import VECTORIZATIONS
from apps.engine.zoo import ZooEntry, find_zoo_entry, read_normalize, spec_data_over
from apps.jobs import starting
from apps.jobs.starting import Start

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
SWITCHES = {"true": True, "false": False}


def add_spec_options(parser: CommandParser) -> None:
    """Add the options that `asked_of` reads."""
    parser.add_argument("--algo", metavar="NAME", help=f"one of {', '.join(ALGORITHMS)}")
    parser.add_argument("--env", metavar="ID", help="Gymnasium id, or module:Env-v0 for your own")
    parser.add_argument("-n", dest="timesteps", type=int, metavar="N", help="environment steps")
    parser.add_argument("--preset", metavar="NAME", help=f"one of {', '.join(PRESET_TITLES)}")
    parser.add_argument("--length", metavar="NAME", help=f"one of {', '.join(LENGTH_TITLES)}")
    parser.add_argument("--seed", type=int)
    add_hyperparameters(parser)
    parser.add_argument("--env-kwargs", nargs="+", default=[], metavar="NAME:VALUE")
    parser.add_argument("--n-envs", type=int, metavar="N", help="parallel environments")
    parser.add_argument(
        "--vectorization", metavar="NAME", help=f"one of {', '.join(VECTORIZATIONS)}"
    )
    parser.add_argument("--eval-freq", type=int, metavar="N", help="steps between evaluations")
    parser.add_argument("--eval-episodes", type=int, metavar="N")
    parser.add_argument("--save-freq", type=int, metavar="N", help="steps between checkpoints")
    parser.add_argument(
        "--milestones", action="store_true", help="evaluate and film each tenth of the run"
    )
    parser.add_argument(
        "--early-stop", nargs="*", metavar="NAME:VALUE",
        help="stop it when it is hopeless beside the other seeds (after_fraction, below)",
    )  # fmt: skip
    parser.add_argument("--no-video", action="store_true", help="do not film its evaluations")
    parser.add_argument(
        "--tensorboard", action="store_true", help="write its scalars for TensorBoard too"
    )
    parser.add_argument("--device", help=f"one of {', '.join(DEVICES)}")
    parser.add_argument("--backend", metavar="NAME", help=f"one of {', '.join(BACKENDS)}")
    parser.add_argument(
        "-i", "--trained-agent", dest="init", metavar="RUN[@STEP]|FILE.zip",
        help="start from the weights of a checkpoint or of a model file",
    )  # fmt: skip
    parser.add_argument(
        "-conf", "--conf-file", dest="conf", metavar="FILE.yml",
        help="hyperparameters as RL-Baselines3-Zoo writes them; other options win over them",
    )  # fmt: skip


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
    start = starting.from_text(options["init"]) if options["init"] else None
    data = _spec_of(options)
    if not options["conf"]:
        return data, start
    if "preset" in data:
        raise CommandError("give either --preset or -conf, not both")
    parent = start.origin.parent if start else None
    algorithm = data.get("algorithm", parent.algorithm if parent else DEFAULT_ALGORITHM)
    known = parent.environment if parent else DEFAULT_ENVIRONMENT
    entry = _zoo_entry(options["conf"], algorithm, data.get("environment", known))
    for note in entry.notes:
        tell(note)
    return spec_data_over(entry, data), start


def _zoo_entry(path: str, algorithm: str, environment: str) -> ZooEntry:
    if algorithm not in ALGORITHMS:
        raise CommandError(f"{algorithm!r} is not an algorithm; allowed: {', '.join(ALGORITHMS)}")
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_YAML_BYTES + 1).decode()
        return find_zoo_entry(text, algorithm, environment)
    except (OSError, ValueError) as error:
        raise CommandError(f"-conf {path} cannot be read: {error}") from error
    except InvalidSpec as refused:
        raise CommandError(f"-conf {path}: {refused}") from refused


def _spec_of(options: dict[str, Any]) -> dict[str, Any]:
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
    if options["env_kwargs"]:
        data["environment_kwargs"] = parse_assignments(options["env_kwargs"], "--env-kwargs")
    return {**data, **read_hyperparameters(options)}


def add_hyperparameters(parser: CommandParser) -> None:
    """Add `-params` and `--normalize`."""
    parser.add_argument(
        "-params", "--hyperparams", dest="params", nargs="+", default=[], metavar="NAME:VALUE",
        help="hyperparameters; they win over all others",
    )  # fmt: skip
    parser.add_argument(
        "--normalize", nargs="*", metavar="KEY:VALUE",
        help="normalise observations and rewards, or false: neither; "
        f"keys: {', '.join(NORMALIZATION)}",
    )  # fmt: skip


def read_hyperparameters(options: dict[str, Any]) -> dict[str, Any]:
    """Return `hyperparameters`, and `normalize` where something is said of it.

    Raises:
        InvalidSpec: A word is not name:value.
    """
    hyperparameters = parse_assignments(options["params"], "-params")
    fields: dict[str, Any] = {"hyperparameters": hyperparameters}
    if "normalize" in hyperparameters:  # As RL-Baselines3-Zoo has it: -params normalize:True
        fields["normalize"] = read_normalize(hyperparameters.pop("normalize"))
    words = options["normalize"]
    if words is not None and len(words) == 1 and words[0].lower() in SWITCHES:
        fields["normalize"] = SWITCHES[words[0].lower()]
    elif words is not None:
        fields["normalize"] = parse_assignments(words, "--normalize")
    return fields
