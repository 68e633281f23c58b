"""What an environment says of itself, as plain data: its spaces, its limits, how it is shown.

Made by constructing it (`environments.describe`), in a process of its own. Those of the known
environments are kept in `described.json`, so that a page shows them whether or not their
package is installed; `python -m apps.engine.describer --known` writes it anew, and a test
compares it with what is installed.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Self

import orjson

from apps.catalogue.algorithms.algorithm import ObservationKind, SpaceKind

DESCRIPTIONS_FILE = Path(__file__).parent / "described.json"


@dataclass(frozen=True, slots=True)
class SpaceDescription:
    """A Gymnasium space as plain data.

    Attributes:
        kind: Kind of space.
        shape: Shape of one element; empty for a single integer.
        dtype: NumPy type name of one element.
        n: Number of actions of a discrete space, None for other kinds.
        low: Least bound over all elements of a box, None for other kinds or when unbounded.
        high: Greatest bound over all elements of a box, likewise.
        lows: Bound of each element of a box in order, None where it has none; empty where all
            elements have the same.
        highs: Likewise.
        parts: The spaces in a dictionary of spaces, by name.
        type_name: What Gymnasium calls it, where `kind` has no name for it.
    """

    kind: SpaceKind
    shape: tuple[int, ...]
    dtype: str
    n: int | None = None
    low: float | None = None
    high: float | None = None
    lows: tuple[float | None, ...] = ()
    highs: tuple[float | None, ...] = ()
    parts: dict[str, "SpaceDescription"] = field(default_factory=dict)
    type_name: str = ""

    @property
    def size(self) -> int:
        """How many numbers one element has."""
        return math.prod(self.shape)

    @property
    def is_image(self) -> bool:
        """Whether Stable-Baselines3 takes it for a picture: three axes of bytes."""
        bounds = (self.low, self.high)
        return len(self.shape) == 3 and self.dtype == "uint8" and bounds == (0, 255)

    @property
    def is_on_a_scale(self) -> bool:
        """Whether it is numbers that have a mean to speak of."""
        return self.kind == "box" and not self.is_image

    @property
    def observation_kind(self) -> ObservationKind:
        """The kind of policy that reads it."""
        if self.parts:
            return "dict"
        return "image" if self.is_image else "vector"

    def in_words(self) -> str:
        """Say what one element is."""
        if self.parts:
            return ", ".join(f"{name}: {part.in_words()}" for name, part in self.parts.items())
        if self.type_name:
            return self.type_name
        if self.kind == "discrete":
            return f"one of {self.n}"
        sizes = " x ".join(map(str, self.shape))
        if self.is_image:
            return f"a picture, {sizes}"
        return f"{sizes} numbers" if self.size != 1 else "1 number"

    def bounds(self) -> Iterator[tuple[float | None, float | None]]:
        """Yield the bounds of each element in order."""
        every = [(self.low, self.high)] * self.size
        return iter(zip(self.lows, self.highs, strict=True) if self.lows else every)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `asdict` and JSON have made of a space."""
        parts = {name: cls.from_dict(part) for name, part in data.get("parts", {}).items()}
        lists = {name: tuple(data.get(name, ())) for name in ("shape", "lows", "highs")}
        return cls(**{**data, **lists, "parts": parts})


# Fields that JSON has as arrays.
LISTS = ("render_modes", "shifted", "loading_lines")


@dataclass(frozen=True, slots=True)
class EnvironmentDescription:
    """What a constructed environment says of itself, with the wrappers it is trained with.

    Attributes:
        id: Gymnasium's id.
        observation_space: Its observation space.
        action_space: Its action space.
        max_episode_steps: Steps after which an episode is truncated, None when never.
        reward_threshold: Mean return that counts as solved, None where nobody says one.
        render_modes: Modes it can be rendered in; films need `rgb_array`.
        render_fps: Frames a second at which it looks natural.
        summary: First sentence of its class's docstring, empty where it has none.
        has_action_masks: Whether it says which actions are valid.
        has_goal_reward: Whether it says what another goal would have paid (`compute_reward`).
        untrainable: Why nothing can be trained in it, empty where something can.
        shifted: What of its spaces is shown to learners as something else, in words; spaces here
            are as learners see them.
        loading_lines: Python that does the same to the bare environment with Gymnasium alone.
    """

    id: str
    observation_space: SpaceDescription
    action_space: SpaceDescription
    max_episode_steps: int | None
    reward_threshold: float | None
    render_modes: tuple[str, ...]
    render_fps: int
    summary: str = ""
    has_action_masks: bool = False
    untrainable: str = ""
    shifted: tuple[str, ...] = ()
    loading_lines: tuple[str, ...] = ()
    has_goal_reward: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the description as JSON-ready data; `from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Read what `as_dict` and JSON have made of a description."""
        spaces = {
            name: SpaceDescription.from_dict(data[name])
            for name in ("observation_space", "action_space")
        }
        lists = {name: tuple(data.get(name, ())) for name in LISTS}
        return cls(**{**data, **spaces, **lists})


@cache
def known_descriptions() -> dict[str, EnvironmentDescription]:
    """Return the descriptions of the known environments by id."""
    data = orjson.loads(DESCRIPTIONS_FILE.read_bytes())
    return {name: EnvironmentDescription.from_dict(each) for name, each in data.items()}
