"""How a run's parallel environments are stepped: the choices, and what each cannot take.

Must stay light: specs, forms and the API validate with it. What a registered environment offers is
told by Gymnasium's registry, without importing the environment's code.
"""

from typing import Any, Protocol

import gymnasium

from apps.engine.algorithms import Algorithm
from apps.engine.errors import FieldError

DEFAULT_VECTORIZATION = "auto"
VECTORIZATIONS: dict[str, str] = {
    "auto": "dummy, or subprocess where it pays",
    "dummy": "in process, one after the other",
    "subprocess": "each in a process of its own",
    "native": "all in one call, where it has a vector version",
}


class Vectorizable(Protocol):
    """What of a spec decides whether its environments can be stepped as it asks."""

    @property
    def vectorization(self) -> str:
        """One of `VECTORIZATIONS`."""

    @property
    def environment(self) -> str:
        """Gymnasium id."""

    @property
    def wrappers(self) -> list[Any]:
        """Wrappers, innermost first."""

    @property
    def frame_stack(self) -> int:
        """Observations seen at once."""

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """Values by name."""

    @property
    def schema(self) -> Algorithm:
        """The algorithm."""


def has_native(environment: str) -> bool | None:
    """Whether an environment has a vector version of its own; None where nobody knows yet.

    An id that is registered only when its module is imported is not known before.
    """
    known = gymnasium.registry.get(environment)
    return None if known is None else known.vector_entry_point is not None


def refusals(spec: Vectorizable) -> list[FieldError]:
    """Return why a spec's environments cannot be stepped as it asks, as far as is known."""
    if spec.vectorization != "native":
        return []
    return [
        FieldError("vectorization", f"native is not allowed {reason}; use auto")
        for reason in _against_native(spec)
    ]


def _against_native(spec: Vectorizable) -> list[str]:
    """Say what of a spec needs each environment by itself."""
    reasons = {
        f"in {spec.environment}, which has no vector version of its own": (
            has_native(spec.environment) is False
        ),
        "with wrappers, which wrap single environments": bool(spec.wrappers),
        "with frame_stack, which wraps single environments": bool(spec.frame_stack),
        f"with {spec.schema.title}, which asks each environment for its valid actions": (
            spec.schema.needs_action_masks
        ),
        "with her, which asks each environment what another goal would have paid": (
            bool(spec.hyperparameters.get("her"))
        ),
    }
    return [reason for reason, applies in reasons.items() if applies]
