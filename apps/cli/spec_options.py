"""The options of a command that say what to train: written once, read into a spec's data."""

from typing import Any

from django.core.management.base import CommandParser

from apps.engine.algorithms import ALGORITHMS
from apps.engine.assignments import parse_assignments
from apps.engine.backends import BACKENDS
from apps.engine.normalization import NORMALIZATION
from apps.engine.presets import LENGTH_TITLES, PRESET_TITLES
from apps.engine.spec import DEVICES
from apps.engine.zoo import read_normalize

# Command-line option -> field of the spec, for options that are passed on as they are.
SPEC_OPTIONS = {
    "algo": "algorithm",
    "env": "environment",
    "timesteps": "total_timesteps",
    "length": "length",
    "preset": "preset",
    "seed": "seed",
    "n_envs": "n_envs",
    "eval_freq": "eval_freq",
    "eval_episodes": "eval_episodes",
    "save_freq": "save_freq",
    "device": "device",
    "backend": "backend",
}
SWITCHES = {"true": True, "false": False}


def add_spec_options(parser: CommandParser) -> None:
    """Add the options that `spec_of` reads."""
    parser.add_argument("--algo", metavar="NAME", help=f"one of {', '.join(ALGORITHMS)}")
    parser.add_argument("--env", metavar="ID", help="Gymnasium id, or module:Env-v0 for your own")
    parser.add_argument("-n", dest="timesteps", type=int, metavar="N", help="environment steps")
    parser.add_argument("--preset", metavar="NAME", help=f"one of {', '.join(PRESET_TITLES)}")
    parser.add_argument("--length", metavar="NAME", help=f"one of {', '.join(LENGTH_TITLES)}")
    parser.add_argument("--seed", type=int)
    add_hyperparameters(parser)
    parser.add_argument("--env-kwargs", nargs="+", default=[], metavar="NAME:VALUE")
    parser.add_argument("--n-envs", type=int, metavar="N", help="parallel environments")
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
    parser.add_argument("--device", help=f"one of {', '.join(DEVICES)}")
    parser.add_argument("--backend", metavar="NAME", help=f"one of {', '.join(BACKENDS)}")


def spec_of(options: dict[str, Any]) -> dict[str, Any]:
    """Return the data of the spec that a command's options describe."""
    data = {
        field: options[option]
        for option, field in SPEC_OPTIONS.items()
        if options[option] is not None
    }
    if options["early_stop"] is not None:
        data["early_stop"] = parse_assignments(options["early_stop"], "--early-stop")
    if options["milestones"]:
        data["milestones"] = True
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
