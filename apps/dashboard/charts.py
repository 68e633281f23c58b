"""Which charts a run's page shows; the browser draws them from the series that REST serves."""

from dataclasses import asdict, dataclass
from typing import Any

from apps.engine.algorithms import Algorithm


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
    """

    title: str
    meaning: str
    line: str
    faint: str = ""
    is_higher_better: bool | None = None
    is_wide: bool = False

    @property
    def keys(self) -> str:
        """The chart's metric keys, separated by commas, the line first."""
        return ",".join(filter(None, (self.line, self.faint)))


RETURN = Chart(
    "Training return",
    "Mean return of the last 100 training episodes; each dot is one episode.",
    "rollout/ep_rew_mean",
    "episode/return",
    is_higher_better=True,
    is_wide=True,
)
LENGTH = Chart(
    "Episode length",
    "Mean length of the last 100 training episodes, in steps.",
    "rollout/ep_len_mean",
    "episode/length",
)
DIAGNOSTICS: dict[str, Chart] = {
    chart.line: chart
    for chart in (
        Chart(
            "Entropy loss",
            "Negative entropy of the policy; it rises towards 0 as the policy makes up its mind.",
            "train/entropy_loss",
        ),
        Chart(
            "Approximate KL",
            "How far an update moved the policy; steadily above 0.02 is fast.",
            "train/approx_kl",
        ),
        Chart(
            "Clip fraction",
            "Share of samples whose update was clipped; above 0.3 the steps are too large.",
            "train/clip_fraction",
        ),
        Chart("Exploration rate", "Share of random actions.", "rollout/exploration_rate"),
        Chart("Loss", "Temporal-difference loss of the Q network.", "train/loss"),
    )
}


# What scripts log under names of their own: CleanRL's, and episodes without any mean of them.
OF_SCRIPTS = (
    Chart(
        "Episodic return",
        "Return of each training episode.",
        "charts/episodic_return",
        is_higher_better=True,
        is_wide=True,
    ),
    Chart(
        "Episode return",
        "Return of each training episode.",
        "episode/return",
        is_higher_better=True,
        is_wide=True,
    ),
    Chart("Episode length", "Length of each training episode, in steps.", "episode/length"),
    Chart(
        "Episodic length", "Length of each training episode, in steps.", "charts/episodic_length"
    ),
    Chart(
        "Evaluation",
        "Mean return of each evaluation.",
        "eval/mean_reward",
        is_higher_better=True,
    ),
)
BLANK_CHART = Chart("", "", "")


def known_charts() -> list[dict[str, Any]]:
    """Return the charts whose meaning is known, as the browser makes them for any run."""
    return [asdict(chart) for chart in (RETURN, LENGTH, *OF_SCRIPTS, *DIAGNOSTICS.values())]


def charts_for(algorithm: Algorithm | None) -> list[Chart]:
    """Return the charts of a run's page, most telling first."""
    keys = algorithm.diagnostics if algorithm else ()
    return [RETURN, LENGTH, *(DIAGNOSTICS.get(key) or Chart(key, "", key) for key in keys)]
