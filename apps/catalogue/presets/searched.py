"""What the search of Fast presets found: each task's finalists, measured beside the tuned setting.

`benchmarks/fast_presets.py` writes `fast.json`; the Fast presets and the table of
docs/presets.md are read from it, so neither can differ from what was measured.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

SEARCH_FILE = Path(__file__).parent / "fast.json"


@dataclass(frozen=True, slots=True)
class Estimate:
    """An interquartile mean over seeds, with its 95 % bootstrap interval.

    Attributes:
        iqm: The mean; None: more than a quarter of the seeds never got there.
        low: Lower bound, likewise.
        high: Upper bound, likewise.
    """

    iqm: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Finalist:
    """A setting that was trained over all the seeds of the final.

    Attributes:
        n_envs: Parallel environments.
        hyperparameters: Values that differ from the library's defaults.
        normalize: Keywords of VecNormalize, None without it.
        vectorization: How its environments are stepped.
        seeds: How many seeds it was trained with.
        solved: How many of them were solved.
        cpu_s: CPU seconds from the start to solved.
        seconds: Seconds on the clock, likewise.
        steps: Environment steps, likewise.
        evaluation: Mean return of a deterministic evaluation: of the tuned setting once it was
            solved, of the others after the last step.
    """

    n_envs: int
    hyperparameters: dict[str, Any]
    normalize: dict[str, Any] | None
    vectorization: str
    seeds: int
    solved: int
    cpu_s: Estimate
    seconds: Estimate
    steps: Estimate
    evaluation: Estimate

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one finalist of the file."""
        names = ("cpu_s", "seconds", "steps", "evaluation")
        return cls(**{**data, **{name: Estimate(**data[name]) for name in names}})


@dataclass(frozen=True, slots=True)
class Search:
    """The search of one Fast preset.

    Attributes:
        algorithm: Name of the algorithm.
        environment: Id of the environment.
        solved_return: Mean return that counts as solved.
        window: Training episodes that the mean is taken over.
        total_timesteps: Steps of each training of the final.
        tried: How many candidates began.
        space: The values that they were drawn from, by name.
        measured: Machine and versions.
        tuned: The tuned setting, the yardstick.
        finalists: The candidates that were left of successive halving.
        earlier: Finalists of earlier searches of the same task that were not chosen then.
    """

    algorithm: str
    environment: str
    solved_return: float
    window: int
    total_timesteps: int
    tried: int
    space: dict[str, list[Any]]
    measured: dict[str, Any]
    tuned: Finalist
    finalists: tuple[Finalist, ...]
    earlier: tuple[Finalist, ...] = ()

    @property
    def chosen(self) -> Finalist:
        """The Fast preset: solved first among those that learn as reliably as the tuned setting.

        The tuned setting itself where no other is: faster and less reliable does not count.
        """
        reliable = filter(self._is_reliable, self.finalists)
        return min(
            (self.tuned, *reliable),
            key=lambda each: math.inf if each.cpu_s.iqm is None else each.cpu_s.iqm,
        )

    def _is_reliable(self, finalist: Finalist) -> bool:
        enough = self.solved_return
        if self.tuned.evaluation.iqm is not None:
            enough = min(enough, self.tuned.evaluation.iqm)
        reached = finalist.evaluation.iqm
        return finalist.solved >= self.tuned.solved and reached is not None and reached >= enough

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read one search of the file."""
        lists = {
            name: tuple(map(Finalist.from_dict, data[name])) for name in ("finalists", "earlier")
        }
        return cls(**{**data, "tuned": Finalist.from_dict(data["tuned"]), **lists})


def read_searches() -> dict[tuple[str, str], Search]:
    """Return every search of the file by algorithm and environment."""
    searches = map(Search.from_dict, orjson.loads(SEARCH_FILE.read_bytes()))
    return {(search.algorithm, search.environment): search for search in searches}
