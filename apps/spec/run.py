"""What to run: `RunSpec`, validated, and its way to JSON and back.

A spec is complete: every hyperparameter has its value, so the same spec, seed and device give the
same curve. Unknown keys are refused, never dropped.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.backends import BACKENDS
from apps.catalogue.stepping import refusals as vectorization_refusals
from apps.spec.reading import Reading
from apps.spec.schema import refuse

# What of a spec decides whether its environments can be stepped in one call (`Vectorizable`).
_STEPPED = {
    "algorithm",
    "environment",
    "environment_kwargs",
    "wrappers",
    "frame_stack",
    "vectorization",
    "hyperparameters.her",
}


@dataclass(frozen=True, slots=True)
class RunSpec:
    """One training run, complete. What each field is, is told by its row in `fields`."""

    algorithm: str
    environment: str
    total_timesteps: int
    seed: int
    n_envs: int
    preset: str | None
    device: str
    eval_freq: int
    eval_episodes: int
    save_freq: int
    schedule_timesteps: int
    film: bool
    milestones: bool
    tensorboard: bool
    early_stop: dict[str, Any] | None
    environment_kwargs: dict[str, Any]
    hyperparameters: dict[str, Any]
    wrappers: list[Any]
    frame_stack: int
    weights: str
    normalize: dict[str, Any] | None
    backend: str
    vectorization: str
    log_interval: int

    @property
    def schema(self) -> Algorithm:
        """The algorithm as its backend has it."""
        return BACKENDS[self.backend].algorithms[self.algorithm]

    @property
    def schedule_length(self) -> int:
        """Steps over which schedules run."""
        return self.schedule_timesteps or self.total_timesteps

    @property
    def steps_between_saves(self) -> int:
        """Steps between checkpoints, at least one rollout's worth is left to the trainer."""
        return self.save_freq or max(1, self.total_timesteps // 10)

    @property
    def steps_between_evaluations(self) -> int:
        """Steps between evaluations while training; 0: only at the end."""
        return max(1, self.total_timesteps // 10) if self.milestones else self.eval_freq

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as JSON-ready data; `from_dict` reads it back to an equal spec."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Validate data and fill in the preset's values and the library's defaults.

        Args:
            data: Fields of the spec, and optionally `length` (`quick`, `standard`, `epic`) in
                place of `total_timesteps`. `hyperparameters` given here win over the preset's.

        Raises:
            InvalidSpec: Lists every refused field with its value and what is allowed.
        """
        reading = Reading(data)
        spec = cls(**reading.values)
        if not reading.unread & _STEPPED:
            reading.errors += vectorization_refusals(spec)
        refuse(reading.errors)
        return spec
