"""How a run's parallel environments are stepped: the choices, and what each cannot take.

Must stay light: specs, forms and the API validate with it. What a registered environment offers is
told by Gymnasium's registry, without importing the environment's code.
"""

from typing import Any, Protocol

import gymnasium

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.ids import family_name
from apps.errors import FieldError

DEFAULT_VECTORIZATION = "auto"
VECTORIZATIONS: dict[str, str] = {
    "auto": "dummy, or subprocess where it pays",
    "dummy": "in process, one after the other",
    "subprocess": "each in a process of its own",
    "native": "all in one call, where it has a vector version",
}
# Of Atari's games: the wrappers that their own vector version stands for, the keywords that it
# takes, and what it needs of those of the single environment.
FRAMES, LIVES, CLIP = FAMILIES["atari"].wrappers
TAKEN_BY_GAMES = frozenset(
    {
        "repeat_action_probability",
        "full_action_space",
        "max_num_frames_per_episode",
    }
)
MADE_OF = FAMILIES["atari"].kwargs


class Vectorizable(Protocol):
    """What of a spec decides whether its environments can be stepped as it asks."""

    @property
    def vectorization(self) -> str:
        """One of `VECTORIZATIONS`."""

    @property
    def environment(self) -> str:
        """Gymnasium id."""

    @property
    def environment_kwargs(self) -> dict[str, Any]:
        """Keywords of its constructor."""

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


def is_game(environment: str) -> bool:
    """Whether an environment is one of Atari's games, which have a vector version of their own."""
    return family_name(environment) == "atari"


def _against_native(spec: Vectorizable) -> list[str]:
    """Say what of a spec needs each environment by itself."""
    reasons = {
        f"with {spec.schema.title}, which asks each environment for its valid actions": (
            spec.schema.needs_action_masks
        ),
        "with her, which asks each environment what another goal would have paid": (
            bool(spec.hyperparameters.get("her"))
        ),
    }
    if is_game(spec.environment):
        return [*_against_native_games(spec), *(why for why in reasons if reasons[why])]
    reasons |= {
        f"in {spec.environment}, which has no vector version of its own": (
            has_native(spec.environment) is False
        ),
        "with wrappers, which wrap single environments": bool(spec.wrappers),
        "with frame_stack, which wraps single environments": bool(spec.frame_stack),
    }
    return [why for why in reasons if reasons[why]]


def _against_native_games(spec: Vectorizable) -> list[str]:
    """Say what of a spec the emulator's own preprocessing is not."""
    kwargs = spec.environment_kwargs
    unknown = sorted(kwargs.keys() - TAKEN_BY_GAMES - MADE_OF.keys())
    reasons = [f"with environment_kwargs.{name}, which it does not take" for name in unknown]
    reasons += [
        f"without {name} {wanted!r} in environment_kwargs, of which its pictures are made"
        for name, wanted in MADE_OF.items()
        if kwargs.get(name) != wanted
    ]
    longest = kwargs.get("max_num_frames_per_episode", 1)
    if type(longest) is not int or longest < 1:
        reasons.append("with max_num_frames_per_episode below 1, which ends each step")
    if spec.wrappers not in ([FRAMES], [FRAMES, LIVES], [FRAMES, CLIP], [FRAMES, LIVES, CLIP]):
        reasons.append(
            "with other wrappers than AtariFrames and after it LifeIsEpisode, ClipReward or both, "
            "all without keywords"
        )
    return reasons
