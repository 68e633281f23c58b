"""Which charts a run's page shows; the browser draws them from the series that REST serves."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.metrics.aliases import ALIASES, Alias
from apps.catalogue.metrics.keys import METRICS

WIDE = frozenset({"rollout/ep_rew_mean", "episode/return"})


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart.

    Attributes:
        title: What it shows, for people.
        meaning: How to read it.
        line: Metric key of its line.
        faint: Metric key drawn as faint points behind the line, empty for none.
        is_higher_better: Whether the greatest value is the best one; None where neither end is.
        is_wide: Whether it takes the full width of its grid.
        about: What else is known of its metric, each with its name.
    """

    title: str
    meaning: str
    line: str
    faint: str = ""
    is_higher_better: bool | None = None
    is_wide: bool = False
    about: tuple[tuple[str, str], ...] = ()

    @property
    def keys(self) -> str:
        """The chart's metric keys, separated by commas, the line first."""
        return ",".join(filter(None, (self.line, self.faint)))


def _chart(key: str) -> Chart:
    metric = METRICS[key]
    about = {
        "metric": key,
        "estimate": metric.estimator,
        "unit": metric.unit,
        "healthy": metric.healthy,
    }
    return Chart(
        metric.title,
        metric.meaning,
        key,
        is_higher_better=metric.is_higher_better,
        is_wide=key in WIDE,
        about=tuple((name, told.replace("`", "")) for name, told in about.items() if told),
    )


def _chart_of(alias: Alias) -> Chart:
    own = _chart(alias.target)
    about = (("logged as", f"{alias.key} ({alias.library})"), *own.about)
    differs = f"{alias.note}; times {alias.factor:g} it is the metric"
    if alias.factor == 1:
        note = (("differs", alias.note),) if alias.note else ()
        return replace(own, line=alias.key, about=(*about, *note))
    meaning = f"{own.meaning} Here: {alias.note}."
    return replace(own, line=alias.key, meaning=meaning, about=(*about, ("differs", differs)))


CHARTS = {key: _chart(key) for key in METRICS}
RETURN = replace(
    CHARTS["rollout/ep_rew_mean"],
    meaning="Mean return of the last 100 training episodes; each dot is one episode.",
    faint="episode/return",
)
LENGTH = replace(CHARTS["rollout/ep_len_mean"], faint="episode/length")
BLANK_CHART = Chart("", "", "")


def known_charts() -> list[dict[str, Any]]:
    """Return the charts whose meaning is known, as the browser makes them for any run."""
    return [asdict(chart) for chart in _known()]


def _known() -> Iterator[Chart]:
    aliases = [_chart_of(alias) for alias in ALIASES.values()]
    yield from (RETURN, LENGTH)
    for key in METRICS:
        if key not in {RETURN.line, LENGTH.line}:
            yield CHARTS[key]
        yield from (chart for chart in aliases if ALIASES[chart.line].target == key)


def charts_for(algorithm: Algorithm | None) -> list[Chart]:
    """Return the charts of a run's page, most telling first."""
    return [RETURN, LENGTH, *(CHARTS[key] for key in (algorithm.diagnostics if algorithm else ()))]
