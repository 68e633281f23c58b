"""What other libraries call the metrics of the catalogue: the rows are in aliases.toml.

Names are those that the libraries' own loggers write. Values are never changed: where another
library defines a metric with another sign or scale, the factor says what they would be multiplied
by. What depends on how a library is set up (RLlib's policies other than `default_policy`) has no
alias.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.catalogue.tables import make_row, read_table


@dataclass(frozen=True, slots=True)
class Alias:
    """Another library's name of a metric.

    Attributes:
        key: The name that it writes.
        library: The library.
        target: Key of the metric in the catalogue.
        factor: What its values times this factor are is the metric.
        note: How it differs, empty where it does not.
    """

    key: str
    library: str
    target: str
    factor: float = 1.0
    note: str = ""


TABLE = Path(__file__).with_suffix(".toml")


def _aliases(libraries: dict[str, dict[str, Any]]) -> Iterator[Alias]:
    for library, rows in libraries.items():
        for key, row in rows.items():
            told = {"target": row} if isinstance(row, str) else row
            yield make_row(Alias, TABLE, key, key=key, library=library, **told)


ALIASES: dict[str, Alias] = {alias.key: alias for alias in _aliases(read_table(TABLE))}


def names_of(targets: Iterable[str]) -> Mapping[str, str]:
    """Return the keys that stand for some metrics, each with its metric, themselves first."""
    wanted = dict.fromkeys(targets)
    own = {key: key for key in wanted}
    return own | {key: alias.target for key, alias in ALIASES.items() if alias.target in wanted}
