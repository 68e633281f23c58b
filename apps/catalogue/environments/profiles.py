"""All that can be said of an environment before training in it, put together from the catalogues.

A profile is what a page, the API and a command show alike. It is made from a card, a description
and what was judged of both, so it costs nothing; nothing is constructed here.
"""

from dataclasses import asdict, dataclass, replace
from itertools import groupby, zip_longest
from typing import Any

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.cards import EnvironmentCard
from apps.catalogue.environments.descriptions import EnvironmentDescription, SpaceDescription
from apps.catalogue.environments.dimensions import (
    Dimension,
    action_dimensions,
    observation_dimensions,
)
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.ids import is_installed
from apps.catalogue.environments.storage import buffer_bytes, transition_bytes
from apps.catalogue.presets.presets import ENVIRONMENT_PRESETS, LengthName, PresetName, lengths_for


@dataclass(frozen=True, slots=True)
class SpaceRow:
    """One number of a space, one action, or several in a row that are alike.

    Attributes:
        label: Its index, or first and last one.
        meaning: What it is, empty where nobody says.
        unit: Its unit, empty for none.
        low: Least bound, None for none.
        high: Greatest bound, likewise.
    """

    label: str
    meaning: str
    unit: str
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Storage:
    """What runs in an environment take.

    Attributes:
        transition_bytes: Memory of one transition in a replay buffer.
        buffer_bytes: Memory of the replay buffer of each off-policy algorithm that can act here,
            by name, at its default size.
        film_bytes_per_minute: Disk of a minute of film, roughly; None where nobody measured it.
    """

    transition_bytes: int
    buffer_bytes: dict[str, int]
    film_bytes_per_minute: int | None


@dataclass(frozen=True, slots=True)
class EnvironmentProfile:
    """One environment, with what trains in it and what that takes.

    Attributes:
        card: What is known of it in words.
        group: Title of the group that it is shown in.
        install: What to type when its package is missing, empty for one's own.
        description: Its spaces and limits, None while nobody could construct it.
        observation: Its observation, number by number.
        action: Its actions, or the numbers of one.
        storage: What a run takes, None without a description.
        misfits: By name of algorithm why it cannot act here, empty where it can.
        own_presets: By name of algorithm the presets made for this environment or its family.
        lengths: Steps of each run length.
        problem: Why one's own environment cannot be used, empty when it can.
        is_reading: Whether it is being described at this moment, so that nobody knows yet.
    """

    card: EnvironmentCard
    group: str
    install: str
    description: EnvironmentDescription | None
    observation: tuple[SpaceRow, ...]
    action: tuple[SpaceRow, ...]
    storage: Storage | None
    misfits: dict[str, str]
    own_presets: dict[str, list[PresetName]]
    lengths: dict[LengthName, int]
    problem: str = ""
    is_reading: bool = False

    @property
    def is_installed(self) -> bool:
        """Whether the package that brings it is there."""
        return self.card.family not in FAMILIES or is_installed(self.card.family)

    @property
    def is_ready(self) -> bool:
        """Whether it can be trained in now."""
        return self.is_installed and not self.problem and not self.is_reading

    @property
    def algorithms(self) -> list[str]:
        """Names of the algorithms that can act here."""
        return [name for name, misfit in self.misfits.items() if not misfit]

    def in_short(self) -> dict[str, Any]:
        """Return what lists of environments say of it, as REST and commands print it."""
        return {
            **asdict(self.card),
            "family_title": self.group,
            "install": self.install,
            "is_installed": self.is_installed,
            "is_ready": self.is_ready,
            "problem": self.problem,
            "algorithms": self.algorithms,
            "lengths": self.lengths,
        }

    def in_full(self) -> dict[str, Any]:
        """Return the same with its spaces, storage and presets."""
        said = self.description
        return {
            **self.in_short(),
            "observation_space": said and _space(said.observation_space, self.observation),
            "actions": said and _space(said.action_space, self.action),
            "render_modes": list(said.render_modes) if said else [],
            "render_fps": said.render_fps if said else None,
            "storage": self.storage and asdict(self.storage),
            "misfits": {name: reason for name, reason in self.misfits.items() if reason},
            "own_presets": self.own_presets,
        }


def _space(space: SpaceDescription, rows: tuple[SpaceRow, ...]) -> dict[str, Any]:
    fields = ("kind", "shape", "dtype", "n", "low", "high")
    return {
        **{name: getattr(space, name) for name in fields},
        "numbers": [asdict(row) for row in rows],
    }


def make_profile(
    card: EnvironmentCard,
    group: str,
    description: EnvironmentDescription | None,
    misfits: dict[str, str],
    install: str = "",
    film_bytes_per_minute: int | None = None,
    problem: str = "",
    is_reading: bool = False,
) -> EnvironmentProfile:
    """Put a profile together; `EnvironmentProfile` says what the arguments are."""
    named = (card.id, card.family)
    return EnvironmentProfile(
        card=card,
        group=group,
        install=install,
        description=description,
        observation=_rows(description.observation_space, observation_dimensions(*named))
        if description
        else (),
        action=_action_rows(description.action_space, action_dimensions(*named))
        if description
        else (),
        storage=_storage(description, misfits, film_bytes_per_minute)
        if description and not description.untrainable
        else None,
        misfits=misfits,
        own_presets=_own_presets(card),
        lengths=lengths_for(card.id),
        problem=problem,
        is_reading=is_reading,
    )


def _storage(
    description: EnvironmentDescription, misfits: dict[str, str], film_bytes: int | None
) -> Storage:
    spaces = description.observation_space, description.action_space
    buffers = {
        name: buffer_bytes(name, algorithm.resolve({})[0], 1, *spaces)
        for name, algorithm in ALGORITHMS.items()
        if algorithm.has_replay_buffer and not misfits[name]
    }
    return Storage(transition_bytes(*spaces), buffers, film_bytes)


def _own_presets(card: EnvironmentCard) -> dict[str, list[PresetName]]:
    found: dict[str, list[PresetName]] = {}
    for (algorithm, key), presets in ENVIRONMENT_PRESETS.items():
        if key in (card.id, card.family):
            found.setdefault(algorithm, []).extend(presets)
    return found


def _action_rows(
    space: SpaceDescription, dimensions: tuple[Dimension, ...]
) -> tuple[SpaceRow, ...]:
    if space.kind != "discrete":
        return _rows(space, dimensions)
    if len(dimensions) != space.n:  # Made with arguments, it may have other actions.
        return (SpaceRow(_label(0, (space.n or 1) - 1), "", "", None, None),)
    return tuple(
        SpaceRow(str(index), each.meaning, each.unit, None, None)
        for index, each in enumerate(dimensions)
    )


def _rows(space: SpaceDescription, dimensions: tuple[Dimension, ...]) -> tuple[SpaceRow, ...]:
    """Return a space number by number; neighbours that are alike share a row."""
    if space.parts:
        return tuple(
            replace(row, label=f"{name} {row.label}".strip())
            for name, part in space.parts.items()
            for row in _rows(part, ())
        )
    if space.kind == "discrete":
        meaning = dimensions[0].meaning if dimensions else ""
        return (SpaceRow(_label(0, (space.n or 1) - 1), meaning, "", None, None),)
    meant = [each for each in dimensions for _ in range(each.count)]
    bounds_of_each = [*space.bounds()]
    if len(meant) != len(bounds_of_each) and bounds_of_each:
        meant = []  # Likewise: the names are of another space.
    numbers = enumerate(zip_longest(bounds_of_each, meant))
    rows = []
    for (bounds, meaning), alike in groupby(numbers, key=lambda number: number[1]):
        first, *rest = [index for index, _ in alike]
        low, high = bounds or (None, None)
        each = meaning or Dimension("")
        rows.append(
            SpaceRow(
                _label(first, rest[-1] if rest else first), each.meaning, each.unit, low, high
            )
        )
    return tuple(rows)


def _label(first: int, last: int) -> str:
    return str(first) if first == last else f"{first} to {last}"
