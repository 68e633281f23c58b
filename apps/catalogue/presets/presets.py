"""Presets and run lengths: good hyperparameters by name, for each algorithm and environment.

Owns data only. A preset of an environment takes precedence over one of its family, and that over
the algorithm's general one. The tuned figures of RL-Baselines3-Zoo are in `tuned.json`
(see `foreign/zoo_collect.py`), the Fast presets that were searched in `fast.json` (see
`searched.py`). `python -m apps.catalogue` rewrites docs/presets.md and
docs/algorithms.md.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.ids import family_name
from apps.catalogue.presets.searched import Search, read_searches
from apps.catalogue.stepping import DEFAULT_VECTORIZATION

PresetName = Literal["fast", "stable", "high_score"]
LengthName = Literal["quick", "standard", "epic"]

PRESET_TITLES: dict[PresetName, str] = {
    "fast": "Fast",
    "stable": "Stable",
    "high_score": "High score",
}
LENGTH_TITLES: dict[LengthName, str] = {
    "quick": "Quick",
    "standard": "Standard",
    "epic": "Epic",
}


@dataclass(frozen=True, slots=True)
class Preset:
    """Hyperparameters by name.

    Attributes:
        hyperparameters: Values that differ from the library's defaults.
        n_envs: Parallel environments.
        vectorization: How they are stepped.
        source: Where the values come from.
        total_timesteps: Steps that they were tuned for, None where nobody says.
        normalize: Keywords of VecNormalize that belong to them, None without it.
        notes: What differs from the source, in words.
    """

    hyperparameters: dict[str, Any] = field(default_factory=dict)
    n_envs: int = 1
    source: str = "rlgym"
    total_timesteps: int | None = None
    normalize: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    vectorization: str = DEFAULT_VECTORIZATION


_LIBRARY = "the library's defaults"
# Off-policy learners of continuous control: small buffers start fast and fit a laptop.
_CONTROL_FAST = {
    "learning_rate": 1e-3,
    "buffer_size": 50_000,
    "learning_starts": 1000,
    "train_freq": 8,
    "gradient_steps": 8,
}
_CONTROL_STABLE = {"buffer_size": 200_000, "learning_starts": 1000}
_CONTROL_HIGH = {
    "learning_rate": "lin_0.00073",
    "buffer_size": 300_000,
    "learning_starts": 10_000,
    "gamma": 0.98,
    "net_arch": [400, 300],
}
_SMALLER_BUFFER = f"{_LIBRARY}, smaller buffer"


def _control(**high: Any) -> dict[PresetName, Preset]:
    noise = {"noise_type": "normal"} if high.pop("is_noisy", False) else {}
    return {
        "fast": Preset({**_CONTROL_FAST, **noise}),
        "stable": Preset({**_CONTROL_STABLE, **noise}, 1, _SMALLER_BUFFER),
        "high_score": Preset({**_CONTROL_HIGH, **noise, **high}),
    }


def _clipped(**high: Any) -> dict[PresetName, Preset]:
    return {
        "fast": Preset(
            {"n_steps": 128, "batch_size": 256, "n_epochs": 10, "learning_rate": 1e-3}, 8
        ),
        "stable": Preset({}, 4, f"{_LIBRARY}, 4 environments"),
        "high_score": Preset(
            {
                "n_steps": 1024,
                "batch_size": 128,
                "gae_lambda": 0.98,
                "ent_coef": 0.005,
                "learning_rate": "lin_0.0003",
                **high,
            },
            8,
        ),
    }


GENERAL_PRESETS: dict[str, dict[PresetName, Preset]] = {
    "ppo": _clipped(),
    "dqn": {
        "fast": Preset(
            {
                "learning_rate": 1e-3,
                "buffer_size": 50_000,
                "learning_starts": 1000,
                "batch_size": 64,
                "train_freq": 16,
                "gradient_steps": 8,
                "target_update_interval": 500,
                "exploration_fraction": 0.2,
            },
            1,
        ),
        "stable": Preset({"buffer_size": 200_000, "learning_starts": 1000}, 1, _SMALLER_BUFFER),
        "high_score": Preset(
            {
                "learning_rate": 5e-4,
                "buffer_size": 200_000,
                "learning_starts": 2000,
                "batch_size": 128,
                "train_freq": 4,
                "gradient_steps": -1,
                "target_update_interval": 500,
                "exploration_fraction": 0.2,
                "net_arch": [256, 256],
            },
            1,
        ),
    },
    "a2c": {
        "fast": Preset({"n_steps": 8, "learning_rate": 2e-3}, 16),
        "stable": Preset({}, 8, f"{_LIBRARY}, 8 environments"),
        "high_score": Preset(
            {"n_steps": 8, "gae_lambda": 0.9, "vf_coef": 0.4, "learning_rate": "lin_0.0007"},
            16,
        ),
    },
    "sac": _control(tau=0.02),
    "td3": _control(is_noisy=True),
    "ddpg": _control(is_noisy=True),
    "trpo": {
        "fast": Preset({"n_steps": 256, "batch_size": 128, "n_critic_updates": 10}, 4),
        "stable": Preset({}, 2, f"{_LIBRARY}, 2 environments"),
        "high_score": Preset(
            {"n_steps": 1024, "batch_size": 128, "cg_max_steps": 25, "n_critic_updates": 20},
            2,
        ),
    },
    "recurrent_ppo": {
        "fast": Preset(
            {
                "n_steps": 128,
                "batch_size": 256,
                "n_epochs": 5,
                "learning_rate": 1e-3,
                "lstm_hidden_size": 64,
            },
            8,
        ),
        "stable": Preset({}, 4, f"{_LIBRARY}, 4 environments"),
        "high_score": Preset(
            {
                "n_steps": 512,
                "batch_size": 256,
                "gae_lambda": 0.98,
                "ent_coef": 0.005,
                "learning_rate": "lin_0.0003",
            },
            8,
        ),
    },
    "maskable_ppo": _clipped(),
    "qrdqn": {
        "fast": Preset(
            {
                "learning_rate": 1e-3,
                "buffer_size": 50_000,
                "learning_starts": 1000,
                "batch_size": 64,
                "train_freq": 16,
                "gradient_steps": 8,
                "n_quantiles": 25,
                "target_update_interval": 500,
                "exploration_fraction": 0.2,
            },
            1,
        ),
        "stable": Preset(
            {"buffer_size": 200_000, "learning_starts": 1000, "exploration_fraction": 0.1},
            1,
            f"{_SMALLER_BUFFER}, longer exploration",
        ),
        "high_score": Preset(
            {
                "learning_rate": 6.3e-4,
                "buffer_size": 200_000,
                "learning_starts": 2000,
                "batch_size": 128,
                "gradient_steps": -1,
                "target_update_interval": 250,
                "exploration_fraction": 0.12,
                "exploration_final_eps": 0.05,
                "n_quantiles": 25,
                "net_arch": [256, 256],
            },
            1,
        ),
    },
    "tqc": _control(tau=0.02),
    "crossq": _control(),
    "ars": {
        "fast": Preset({"n_delta": 4, "n_top": 2, "delta_std": 0.1}),
        "stable": Preset({}, 1, _LIBRARY),
        "high_score": Preset({"n_delta": 32, "n_top": 16, "delta_std": 0.03}),
    },
}

ZOO_FILE = Path(__file__).parent / "tuned.json"


def _zoo_presets() -> dict[tuple[str, str], Preset]:
    data = orjson.loads(ZOO_FILE.read_bytes())
    return {
        (algorithm, environment): Preset(
            hyperparameters=entry["hyperparameters"],
            n_envs=entry["n_envs"],
            source=f"{data['source']}: {entry['from']}",
            total_timesteps=entry["total_timesteps"],
            normalize=entry["normalize"],
            notes=tuple(entry["notes"]),
        )
        for algorithm, environments in data["presets"].items()
        for environment, entry in environments.items()
    }


# Of an environment, or of a family where the zoo has one set of figures for all of it.
ZOO_PRESETS: dict[tuple[str, str], Preset] = _zoo_presets()

SEARCHES: dict[tuple[str, str], Search] = read_searches()


def _searched_preset(search: Search) -> Preset:
    found = search.chosen
    return Preset(
        hyperparameters=found.hyperparameters,
        n_envs=found.n_envs,
        source=f"searched: {found.solved} of {found.seeds} seeds solved",
        total_timesteps=search.total_timesteps,
        normalize=found.normalize,
        vectorization=found.vectorization,
        notes=("no faster ones were as reliable as the tuned",) * (found is search.tuned),
    )


ENVIRONMENT_PRESETS: dict[tuple[str, str], dict[PresetName, Preset]] = {
    key: {
        **({"high_score": ZOO_PRESETS[key]} if key in ZOO_PRESETS else {}),
        **({"fast": _searched_preset(SEARCHES[key])} if key in SEARCHES else {}),
    }
    for key in sorted({*ZOO_PRESETS, *SEARCHES})
}

_GENERAL_LENGTHS: dict[LengthName, int] = {"quick": 20_000, "standard": 100_000, "epic": 1_000_000}
_FAMILY_LENGTHS: dict[str, dict[LengthName, int]] = {
    "box2d": {"quick": 100_000, "standard": 500_000, "epic": 5_000_000},
    "mujoco": {"quick": 100_000, "standard": 1_000_000, "epic": 10_000_000},
    "atari": {"quick": 500_000, "standard": 2_000_000, "epic": 10_000_000},
}
_LENGTHS: dict[str, dict[LengthName, int]] = {
    "CartPole-v1": {"quick": 20_000, "standard": 50_000, "epic": 200_000},
}


def preset_for(algorithm: str, environment: str, name: PresetName) -> Preset:
    """Return the environment's own preset, else its family's, else the algorithm's general one."""
    for key in (environment, _family_name(environment)):
        if own := ENVIRONMENT_PRESETS.get((algorithm, key), {}).get(name):
            return own
    return GENERAL_PRESETS[algorithm][name]


def lengths_for(environment: str) -> dict[LengthName, int]:
    """Return the steps of each run length in an environment."""
    family_lengths = _FAMILY_LENGTHS.get(_family_name(environment), _GENERAL_LENGTHS)
    return _LENGTHS.get(environment, family_lengths)


def _family_name(environment: str) -> str:
    """Return the key of an environment's family, known by its card or its id; empty for none."""
    card = ENVIRONMENTS.get(environment)
    return card.family if card else family_name(environment)
