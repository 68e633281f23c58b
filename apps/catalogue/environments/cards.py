"""What is known of environments without constructing one; the rows are in cards.toml.

The figures of a card are those of the installed package; a test compares them where it is there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.catalogue.algorithms.algorithm import SpaceKind
from apps.catalogue.tables import make_row, read_table


@dataclass(frozen=True, slots=True)
class EnvironmentCard:
    """What a page says of a known environment without constructing it.

    Attributes:
        id: Gymnasium's id.
        family: Key of `FAMILIES`; empty for one of the user's own.
        meaning: One line for people: the task.
        action_space: Kind of its action space.
        observation: Its observation in words, with units.
        reward: Its reward in words.
        max_episode_steps: Steps after which an episode is truncated, None for never; for Atari
            those of a policy, four frames each.
        solved_return: Mean return that counts as solved, None where nobody says one.
        source: Where the task comes from.
    """

    id: str
    family: str
    meaning: str
    action_space: SpaceKind
    observation: str
    reward: str
    max_episode_steps: int | None = None
    solved_return: float | None = None
    source: str = ""


TABLE = Path(__file__).with_suffix(".toml")
ALL = "all"


def _cards(families: dict[str, dict[str, Any]]) -> Iterator[EnvironmentCard]:
    for family, rows in families.items():
        shared = rows.pop(ALL, {})
        for name, row in rows.items():
            told = {**shared, **row}
            yield make_row(EnvironmentCard, TABLE, name, id=name, family=family, **told)


ENVIRONMENTS: dict[str, EnvironmentCard] = {card.id: card for card in _cards(read_table(TABLE))}
