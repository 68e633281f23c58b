"""Presets and run lengths: good hyperparameters by name, for each algorithm and environment.

Owns data only. A preset of an environment takes precedence over the algorithm's general one.
Values marked `zoo` are the tuned figures of RL-Baselines3-Zoo (hyperparams/ppo.yml and dqn.yml).
"""

from dataclasses import dataclass, field
from typing import Any, Literal

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
        source: Where the values come from.
    """

    hyperparameters: dict[str, Any] = field(default_factory=dict)
    n_envs: int = 1
    source: str = "rlgym"


_ZOO = "RL-Baselines3-Zoo"

GENERAL_PRESETS: dict[str, dict[PresetName, Preset]] = {
    "ppo": {
        "fast": Preset(
            {"n_steps": 128, "batch_size": 256, "n_epochs": 10, "learning_rate": 1e-3}, 8,
        ),
        "stable": Preset({}, 4, "Stable-Baselines3 defaults, 4 environments"),
        "high_score": Preset(
            {"n_steps": 1024, "batch_size": 128, "gae_lambda": 0.98, "ent_coef": 0.005,
             "learning_rate": "lin_0.0003"}, 8,
        ),
    },
    "dqn": {
        "fast": Preset(
            {"learning_rate": 1e-3, "buffer_size": 50_000, "learning_starts": 1000,
             "batch_size": 64, "train_freq": 16, "gradient_steps": 8,
             "target_update_interval": 500, "exploration_fraction": 0.2}, 1,
        ),
        "stable": Preset({"buffer_size": 200_000, "learning_starts": 1000}, 1,
                         "Stable-Baselines3 defaults, smaller buffer"),
        "high_score": Preset(
            {"learning_rate": 5e-4, "buffer_size": 200_000, "learning_starts": 2000,
             "batch_size": 128, "train_freq": 4, "gradient_steps": -1,
             "target_update_interval": 500, "exploration_fraction": 0.2,
             "net_arch": [256, 256]}, 1,
        ),
    },
}  # fmt: skip

ENVIRONMENT_PRESETS: dict[tuple[str, str], dict[PresetName, Preset]] = {
    ("ppo", "CartPole-v1"): {
        "fast": Preset(
            {"n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 10,
             "learning_rate": "lin_0.002", "clip_range": "lin_0.2"}, 8,
        ),
        "high_score": Preset(
            {"n_steps": 32, "batch_size": 256, "gae_lambda": 0.8, "gamma": 0.98, "n_epochs": 20,
             "learning_rate": "lin_0.001", "clip_range": "lin_0.2"}, 8, _ZOO,
        ),
    },
    ("ppo", "Acrobot-v1"): {
        "fast": Preset({"n_steps": 128, "batch_size": 256, "n_epochs": 4, "gae_lambda": 0.94,
                        "learning_rate": 1e-3}, 16),
        "high_score": Preset({"n_steps": 256, "gae_lambda": 0.94, "n_epochs": 4}, 16,
                             f"{_ZOO}, without its observation normalisation"),
    },
    ("ppo", "Pendulum-v1"): {
        "high_score": Preset(
            {"n_steps": 1024, "gamma": 0.9, "learning_rate": 1e-3, "use_sde": True,
             "sde_sample_freq": 4}, 4, _ZOO,
        ),
    },
    ("dqn", "CartPole-v1"): {
        "high_score": Preset(
            {"learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000,
             "learning_starts": 1000, "target_update_interval": 10, "train_freq": 256,
             "gradient_steps": 128, "exploration_fraction": 0.16, "exploration_final_eps": 0.04,
             "net_arch": [256, 256]}, 1, _ZOO,
        ),
    },
    ("dqn", "MountainCar-v0"): {
        "high_score": Preset(
            {"learning_rate": 4e-3, "batch_size": 128, "buffer_size": 10_000,
             "learning_starts": 1000, "gamma": 0.98, "target_update_interval": 600,
             "train_freq": 16, "gradient_steps": 8, "exploration_fraction": 0.2,
             "exploration_final_eps": 0.07, "net_arch": [256, 256]}, 1, _ZOO,
        ),
    },
    ("dqn", "Acrobot-v1"): {
        "high_score": Preset(
            {"learning_rate": 6.3e-4, "batch_size": 128, "buffer_size": 50_000,
             "learning_starts": 0, "target_update_interval": 250, "train_freq": 4,
             "gradient_steps": -1, "exploration_fraction": 0.12, "exploration_final_eps": 0.1,
             "net_arch": [256, 256]}, 1, _ZOO,
        ),
    },
}  # fmt: skip

_GENERAL_LENGTHS: dict[LengthName, int] = {"quick": 20_000, "standard": 100_000, "epic": 1_000_000}
_LENGTHS: dict[str, dict[LengthName, int]] = {
    "CartPole-v1": {"quick": 20_000, "standard": 50_000, "epic": 200_000},
}


def preset_for(algorithm: str, environment: str, name: PresetName) -> Preset:
    """Return the environment's own preset, else the algorithm's general one."""
    own = ENVIRONMENT_PRESETS.get((algorithm, environment), {})
    return own.get(name) or GENERAL_PRESETS[algorithm][name]


def lengths_for(environment: str) -> dict[LengthName, int]:
    """Return the steps of each run length in an environment."""
    return _LENGTHS.get(environment, _GENERAL_LENGTHS)
