"""The catalogue of metrics: what each key of a log means, how it is estimated, what is healthy.

Owns the keys that training and evaluation here can write, Stable-Baselines3's verbatim; a test
compares them with the libraries' sources. The rows are in keys.toml; docs/metrics.md is written
from it. What scripts of other libraries call them is in `aliases`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from apps.catalogue.tables import BadTable, check_names, make_row, read_table


@dataclass(frozen=True, slots=True)
class Metric:
    """One key of a log.

    Attributes:
        key: The key.
        title: Its name for people.
        meaning: What it says, in one line.
        estimator: How the number is made.
        unit: Unit of its values.
        source: Paper or source file that defines it.
        healthy: What to expect of a training that goes well, empty where nothing is known.
        is_higher_better: Whether the greatest value is the best one; None where neither end is.
    """

    key: str
    title: str
    meaning: str
    estimator: str
    unit: str
    source: str
    healthy: str = ""
    is_higher_better: bool | None = None


TABLE = Path(__file__).with_suffix(".toml")


def _metrics(rows: dict[str, Any], sources: dict[str, str]) -> Iterator[Metric]:
    for key, row in rows.items():
        metric = make_row(Metric, TABLE, key, key=key, **row)
        try:
            yield replace(metric, source=metric.source.format_map(sources))
        except KeyError as error:
            raise BadTable(f"{TABLE.name}: {key}: no source is called {error}") from error


_TOLD = read_table(TABLE)
check_names(TABLE, "it", _TOLD, ("sources", "metrics", "episode", "evaluation"))
METRICS: dict[str, Metric] = {
    metric.key: metric for metric in _metrics(_TOLD["metrics"], _TOLD["sources"])
}
# What lines of type `episode` say, and what the result of an evaluation sums up.
EPISODE_FIELDS: dict[str, str] = _TOLD["episode"]
EVALUATION_FIELDS: dict[str, str] = _TOLD["evaluation"]
