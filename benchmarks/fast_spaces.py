"""What the search of Fast presets may choose from: a small declared space for each task."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.stepping import DEFAULT_VECTORIZATION

# In a space, beside hyperparameters: parallel environments, how they are stepped, keywords of
# VecNormalize, minibatches of a rollout, gradient steps for each environment step.
N_ENVS, VECTORIZATION, NORMALIZE = "n_envs", "vectorization", "normalize"
MINIBATCHES, UPDATES = "minibatches", "updates_per_step"
DRAW_SEED = 1


@dataclass(frozen=True, slots=True)
class Task:
    """A Fast preset to search.

    Attributes:
        algorithm: Name of the algorithm.
        environment: Id of the environment.
        steps: Steps of each training, which schedules end at.
        draws: How many candidates are drawn from the space.
        space: Values by name of a hyperparameter, or of what is named above.
        fixed: Hyperparameters that all candidates have.
        window: Training episodes whose mean return is to reach what solves it.
        own_solved_return: Where the environment's card says none.
        final_seeds: Seeds of the final.
    """

    algorithm: str
    environment: str
    steps: int
    draws: int
    space: dict[str, tuple[Any, ...]]
    fixed: dict[str, Any] = field(default_factory=dict)
    window: int = 100
    own_solved_return: float | None = None
    final_seeds: int = 20

    @property
    def solved_return(self) -> float:
        """Mean return that counts as solved."""
        recorded = ENVIRONMENTS[self.environment].solved_return
        found = recorded if self.own_solved_return is None else self.own_solved_return
        assert found is not None
        return found


TASKS = (
    Task(
        "ppo",
        "CartPole-v1",
        steps=100_000,
        draws=10,
        space={
            N_ENVS: (16, 32),
            VECTORIZATION: ("native",),
            "n_steps": (32,),
            MINIBATCHES: (2, 4, 8),
            "n_epochs": (4, 6),
            "clip_range": (0.2, "lin_0.2"),
            "learning_rate": ("lin_0.003", "lin_0.005"),
        },
        fixed={"gae_lambda": 0.8, "gamma": 0.98},
    ),
    Task(
        "a2c",
        "CartPole-v1",
        steps=500_000,
        draws=14,
        space={
            N_ENVS: (16, 32, 64),
            VECTORIZATION: ("native",),
            "n_steps": (5, 8, 16),
            "gae_lambda": (0.8, 0.9, 1.0),
            "learning_rate": (7e-4, 1.5e-3, 3e-3, "lin_0.0015", "lin_0.003", "lin_0.005"),
            "normalize_advantage": (False, True),
            "ent_coef": (0.0, 0.01),
        },
        fixed={"gamma": 0.98},
    ),
    Task(
        "dqn",
        "CartPole-v1",
        steps=100_000,
        draws=16,
        space={
            N_ENVS: (1, 4),
            "learning_rate": (1e-3, 2.3e-3),
            "batch_size": (64, 128, 256),
            "train_freq": (16, 64, 256),
            UPDATES: (0.125, 0.25, 0.5),
            "target_update_interval": (10, 100),
            "exploration_fraction": (0.08, 0.16),
            "net_arch": ([64, 64], [128, 128], [256, 256]),
        },
        fixed={"buffer_size": 50_000, "learning_starts": 1000, "exploration_final_eps": 0.04},
    ),
    Task(
        "ppo",
        "Acrobot-v1",
        steps=100_000,
        draws=14,
        space={
            N_ENVS: (16, 32),
            "n_steps": (64, 128, 256),
            MINIBATCHES: (1, 4, 8),
            "n_epochs": (4, 8),
            "learning_rate": (1e-3, 2e-3, "lin_0.002"),
            "ent_coef": (0.0, 0.01),
            NORMALIZE: (None, {}),
        },
        fixed={"gae_lambda": 0.94},
    ),
    Task(
        "ppo",
        "MountainCarContinuous-v0",
        steps=100_000,
        draws=12,
        window=20,
        space={
            N_ENVS: (4, 8, 16),
            "n_steps": (64, 128, 256),
            MINIBATCHES: (2, 4),
            "n_epochs": (4, 10),
            "learning_rate": (3e-4, 1e-3),
            "log_std_init": (0.0, 0.5, 1.0),
            NORMALIZE: (None, {}),
        },
        fixed={"gamma": 0.999, "gae_lambda": 0.95},
    ),
    Task(
        "ppo",
        "Pendulum-v1",
        steps=100_000,
        draws=16,
        window=20,
        own_solved_return=-200.0,
        space={
            N_ENVS: (4, 8, 16),
            "n_steps": (64, 128, 256),
            MINIBATCHES: (4, 8),
            "n_epochs": (5, 10),
            "learning_rate": (1e-3, 2e-3, "lin_0.002"),
            "gae_lambda": (0.9, 0.95),
        },
        fixed={"gamma": 0.9},
    ),
    Task(
        "sac",
        "Pendulum-v1",
        steps=10_000,
        draws=12,
        window=20,
        own_solved_return=-200.0,
        space={
            N_ENVS: (1, 4),
            "learning_rate": (1e-3, 2e-3),
            "batch_size": (64, 128, 256),
            "train_freq": (4, 16),
            UPDATES: (0.25, 0.5, 1.0),
            "net_arch": ([64, 64], [128, 128], [256, 256]),
            "gamma": (0.95, 0.98),
        },
        fixed={"buffer_size": 20_000, "learning_starts": 500, "tau": 0.02},
    ),
    Task(
        "ppo",
        "LunarLander-v3",
        steps=600_000,
        draws=8,
        space={
            N_ENVS: (16, 32),
            "n_steps": (128, 256),
            MINIBATCHES: (8, 16),
            "n_epochs": (6, 10),
            "learning_rate": (1e-3, "lin_0.001", "lin_0.002"),
            "ent_coef": (0.0, 0.01),
        },
        fixed={"gamma": 0.999, "gae_lambda": 0.98},
    ),
)


def candidates_of(task: Task) -> list[dict[str, Any]]:
    """Draw a task's candidates from its space: always the same, each once."""
    everything = list(_settings(task))
    return random.Random(DRAW_SEED).sample(everything, min(task.draws, len(everything)))


def _settings(task: Task) -> Iterator[dict[str, Any]]:
    for chosen in itertools.product(*task.space.values()):
        values = dict(zip(task.space, chosen, strict=True))
        n_envs, normalize = values.pop(N_ENVS), values.pop(NORMALIZE, None)
        if parts := values.pop(MINIBATCHES, None):
            values["batch_size"] = n_envs * values["n_steps"] // parts
        if share := values.pop(UPDATES, None):
            values["gradient_steps"] = int(n_envs * values["train_freq"] * share)
        yield {
            "n_envs": n_envs,
            "vectorization": values.pop(VECTORIZATION, DEFAULT_VECTORIZATION),
            "normalize": normalize,
            "hyperparameters": {**task.fixed, **values},
        }
