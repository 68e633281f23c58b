"""Whether a spec fits the environment that it names."""

from collections.abc import Collection, Mapping
from typing import Any

from apps.catalogue.environments.descriptions import EnvironmentDescription
from apps.catalogue.fitting import misfit
from apps.errors import FieldError, InvalidSpec
from apps.spec.run import RunSpec

GOAL_PARTS = frozenset({"observation", "achieved_goal", "desired_goal"})


def unfit(spec: RunSpec, description: EnvironmentDescription) -> FieldError | None:
    """Return why a spec's algorithm cannot act in its environment, None where it can.

    The one rule of all doors: verbs before the queue, the check before a run, and the trainer.
    """
    if description.untrainable:
        words = f"nothing can be trained in {spec.environment}: {description.untrainable}"
        return FieldError("environment", words)
    if reason := misfit(spec.schema, description):
        words = f"{spec.schema.full_title} cannot act in {spec.environment}: it {reason}"
        return FieldError("algorithm", words)
    return None


def check_goals(values: Mapping[str, Any], environment: str, parts: Collection[str]) -> None:
    """Refuse hindsight replay in an environment that has no goals.

    Args:
        values: Hyperparameters.
        environment: The environment's id.
        parts: Names of the parts of its observations; empty where they are no dictionary.

    Raises:
        InvalidSpec: Says what such observations are made of.
    """
    if values.get("her") and not set(parts) >= GOAL_PARTS:
        shown = ", ".join(sorted(parts)) or "no dictionary"
        raise InvalidSpec(
            [
                FieldError(
                    "hyperparameters.her",
                    f"true is not allowed in {environment}: hindsight replay needs observations "
                    "that are "
                    f"a dictionary of {', '.join(sorted(GOAL_PARTS))}, and here they are {shown}; "
                    "set it to false",
                )
            ]
        )


# What an environment with goals shows.
