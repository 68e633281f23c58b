"""What a run's return was at a step: runs are compared where both had come equally far."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from apps.metrics.columns import view
from apps.metrics.line import Line
from apps.metrics.summary import RETURN_KEY


def returns_at(log: Path, steps: Sequence[int]) -> list[float | None]:
    """Return the mean return of the last 100 training episodes as it was at each of some steps.

    Args:
        log: The run's log.
        steps: Environment steps.

    Returns:
        For each, the last finite value at it or before it; None before the first one.
    """
    curve = Line([view(log, [RETURN_KEY])], [], "step").curve(RETURN_KEY)
    is_finite = np.isfinite(curve.values)
    known, values = curve.steps[is_finite], curve.values[is_finite]
    places = np.searchsorted(known, steps, side="right")
    return [float(values[place - 1]) if place else None for place in places]
