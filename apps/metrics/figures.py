"""Fold a metric's points into few figures: least, greatest, mean, last, area under the curve.

Nothing of the past is kept, so a run of any length costs the same; folded again over the same
points, they come out the same to the last bit.
"""

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from apps.rundir.events import Event, value_of

EPISODE_WINDOW = 100


@dataclass(slots=True)
class Spread:
    """What finite values come to, in whatever order; all None before the first.

    Attributes:
        n: How many there were.
        least: The least value.
        greatest: The greatest value.
        mean: Their mean.
    """

    n: int = 0
    least: float | None = None
    greatest: float | None = None
    mean: float | None = None

    def take(self, value: float) -> None:
        """Take one more value into account."""
        self.n += 1
        if self.least is None or self.greatest is None or self.mean is None:
            self.least = self.greatest = self.mean = value
            return
        if value < self.least:
            self.least = value
        elif value > self.greatest:
            self.greatest = value
        self.mean = _between(self.mean, value, 1.0 / self.n)


@dataclass(slots=True)
class Figures(Spread):
    """What the finite points of one curve come to.

    Attributes:
        last: The latest value.
        auc: Area under the curve by its width: the mean over steps, by the trapezoidal rule,
            between the first point and the last; in the unit of the values. The values of one step
            alone are no area: then it is the latest of them. A point whose step is below that of
            the one before it has no area either.
    """

    last: float | None = None
    auc: float | None = None
    _first_step: float = 0.0
    _corner: tuple[float, float] = (0.0, 0.0)

    def take_at(self, step: float, value: float | None) -> None:
        """Take one more point into account; one that is not finite counts for nothing."""
        if value is None or not math.isfinite(value):
            return
        self.take(value)
        self.last = value
        before, height = self._corner
        if self.auc is None:
            self._first_step, self._corner, self.auc = step, (step, value), value
        elif step >= before:
            self._corner = step, value
            if step == self._first_step:
                self.auc = value
            else:
                share = (step - before) / (step - self._first_step)
                self.auc = _between(self.auc, height / 2 + value / 2, share)


def _between(low: float, high: float, share: float) -> float:
    """Return a point between two: sums and differences of great values would overflow."""
    return low * (1.0 - share) + high * share


@dataclass(slots=True)
class EpisodeFigures:
    """A quantity of training episodes: of each one, and as a moving mean.

    A log that a script fills seldom has the trainer's mean of the last 100 episodes: there the
    mean is taken here, until the script logs one of its own.

    Attributes:
        episodes: Of every episode.
        curve: Of the mean over the last 100 episodes as it went.
    """

    episodes: Spread = field(default_factory=Spread)
    curve: Figures = field(default_factory=Figures)
    _latest: deque[float] = field(default_factory=partial(deque, maxlen=EPISODE_WINDOW))
    _has_means: bool = False

    @property
    def best(self) -> float | None:
        """The greatest mean, of all episodes before the first mean is told."""
        return self.curve.greatest if self.curve.n else self.episodes.mean

    def take_mean(self, step: float, mean: float | None) -> None:
        """Take a mean over the last episodes into account."""
        if mean is not None and math.isfinite(mean):
            self._has_means = True
            self.curve.take_at(step, mean)

    def take_episode(self, step: float, value: float | None, is_logged: bool) -> None:
        """Take an episode into account, of a run that a script logs or one that is trained."""
        if value is None or not math.isfinite(value):
            return
        self.episodes.take(value)
        if is_logged and not self._has_means:
            self._latest.append(value)
            self.curve.take_at(step, sum(self._latest) / len(self._latest))

    def columns(self, name: str) -> dict[str, Any]:
        """Return the summary columns.

        Where the log tells no episode, the least, greatest and mean are those of the means.
        """
        spread = self.episodes if self.episodes.n else self.curve
        # Some trainers tell a mean with every fourth episode: till then it is that of all.
        has_curve = self.curve.n > 0
        return {
            f"{name}_min": spread.least,
            f"{name}_max": spread.greatest,
            f"{name}_mean": spread.mean,
            f"{name}_last": self.curve.last if has_curve else spread.mean,
            f"{name}_auc": self.curve.auc if has_curve else spread.mean,
        }


@dataclass(slots=True)
class FirstOf:
    """The figures of the first of several metrics that a log has.

    Attributes:
        keys: The metrics, the preferred one first.
        key: The one that counts, empty before any.
        figures: Its figures.
    """

    keys: Sequence[str]
    key: str = ""
    figures: Figures = field(default_factory=Figures)

    def take(self, event: Event) -> None:
        """Take a line of metrics into account."""
        key = next((key for key in self.keys if key in event["values"]), "")
        if not key:
            return
        if not self.key or self.keys.index(key) < self.keys.index(self.key):
            # Curves of two metrics are no curve: the preferred one alone counts.
            self.key, self.figures = key, Figures()
        if key == self.key:
            self.figures.take_at(event["step"], value_of(event, key))

    def columns(self, name: str) -> dict[str, Any]:
        """Return the summary columns."""
        figures = self.figures
        return {
            f"{name}_key": self.key,
            f"{name}_min": figures.least,
            f"{name}_max": figures.greatest,
            f"{name}_mean": figures.mean,
            f"{name}_last": figures.last,
            f"{name}_auc": figures.auc,
        }
