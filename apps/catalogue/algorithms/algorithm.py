"""What is known of an algorithm, in one row: where it acts, what it reads, what may be set."""

from dataclasses import dataclass, field
from typing import Any, Literal

from apps.catalogue.algorithms.schema import Hyperparameter
from apps.errors import FieldError
from apps.text.suggestions import did_you_mean

SpaceKind = Literal["discrete", "box", "multi_discrete", "multi_binary", "other"]
ObservationKind = Literal["vector", "image", "dict"]


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm that can train.

    Attributes:
        name: The name users type (`ppo`).
        title: The name people read (`PPO`).
        class_path: `module:Class` of the implementation.
        meaning: One line for people.
        action_spaces: Kinds of action space it can act in.
        is_on_policy: Whether it fills a rollout of `n_steps` an environment and learns from that.
        max_envs: Most parallel environments it takes.
        hyperparameters: Schema by name, in the order they are shown.
        diagnostics: Metric keys worth a chart beside return and episode length.
        observations: Kinds of observation that its policies read.
        has_replay_buffer: Whether it learns from a buffer of old transitions.
        is_recurrent: Whether its policy carries a state from step to step.
        needs_action_masks: Whether the environment has to offer `action_masks()`.
        backend: Name of the backend that computes it.
    """

    name: str
    title: str
    class_path: str
    meaning: str
    action_spaces: frozenset[SpaceKind]
    is_on_policy: bool
    max_envs: int
    hyperparameters: dict[str, Hyperparameter] = field(repr=False)
    diagnostics: tuple[str, ...] = ()
    observations: frozenset[ObservationKind] = frozenset({"vector", "image", "dict"})
    has_replay_buffer: bool = False
    is_recurrent: bool = False
    needs_action_masks: bool = False
    backend: str = "torch"

    @property
    def library(self) -> str:
        """Package that implements it: `stable_baselines3`, `sb3_contrib` or `sbx`."""
        return self.class_path.partition(":")[0]

    @property
    def full_title(self) -> str:
        """The title, with the backend where it is not torch: `SAC (sbx)`."""
        return self.title if self.backend == "torch" else f"{self.title} ({self.backend})"

    def resolve(self, given: dict[str, Any]) -> tuple[dict[str, Any], list[FieldError]]:
        """Fill in defaults and check every given value.

        Args:
            given: Hyperparameters by name; missing ones take their default.

        Returns:
            Every hyperparameter by name, and the refused fields (empty when all is well).
        """
        errors = [
            FieldError(
                f"hyperparameters.{name}",
                f"{self.full_title} has no such hyperparameter; "
                f"allowed: {', '.join(self.hyperparameters)}"
                f"{did_you_mean(name, self.hyperparameters)}",
            )
            for name in given
            if name not in self.hyperparameters
        ]
        values: dict[str, Any] = {}
        for name, schema in self.hyperparameters.items():
            value = given.get(name, schema.default)
            try:
                values[name] = schema.parse(value) if name in given else value
            except ValueError as error:
                errors.append(FieldError(f"hyperparameters.{name}", str(error)))
        return values, errors


ANY_ACTION: frozenset[SpaceKind] = frozenset({"discrete", "box", "multi_discrete", "multi_binary"})
CONTINUOUS: frozenset[SpaceKind] = frozenset({"box"})
DISCRETE: frozenset[SpaceKind] = frozenset({"discrete"})
VECTORS: frozenset[ObservationKind] = frozenset({"vector"})
