"""What is asked of an evaluation."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from apps.spec.fields import MAX_SEED
from apps.spec.schema import check_numbers, check_switch, refuse, unknown_keys

EVALUATION_SEED_OFFSET = 10_000
EVALUATION_BOUNDS: dict[str, tuple[int, int]] = {
    "n_episodes": (1, 1000),
    "seed": (0, MAX_SEED),
    "max_episode_steps": (1, 1_000_000),
}


@dataclass(frozen=True, slots=True)
class EvalSpec:
    """One evaluation of one checkpoint.

    Attributes:
        n_episodes: Episodes to play; episode i is reset with seed `seed + i`.
        seed: Seed of the first episode.
        is_deterministic: Whether the policy takes its most likely action.
        max_episode_steps: An episode that has not ended by itself is cut here.
        should_film: Whether the same episodes are filmed.
    """

    n_episodes: int = 5
    seed: int = EVALUATION_SEED_OFFSET
    is_deterministic: bool = True
    max_episode_steps: int = 10_000
    should_film: bool = True

    def as_dict(self) -> dict[str, Any]:
        """Return the spec as JSON-ready data; `from_dict` reads it back to an equal spec."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Validate data.

        Raises:
            InvalidSpec: Lists every refused field with its value and what is allowed.
        """
        errors = unknown_keys(data, [spec_field.name for spec_field in fields(cls)])
        values = {key: value for key, value in data.items() if value is not None}
        check_numbers(values, EVALUATION_BOUNDS, errors)
        for name in ("is_deterministic", "should_film"):
            check_switch(values, name, errors)
        refuse(errors)
        return cls(**values)


def default_evaluation_seed(run_seed: int) -> int:
    """Return a seed for evaluation episodes that the run did not train with."""
    return (run_seed + EVALUATION_SEED_OFFSET) % (MAX_SEED + 1)
