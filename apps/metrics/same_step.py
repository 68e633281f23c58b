"""What a run's return was at a step: runs are compared where both had come equally far."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from apps.metrics.columns import view
from apps.metrics.line import Line
from apps.metrics.summary import RETURN_KEY
from apps.rundir.plain_files import NotPlainFile


def returns_at(log: Path, steps: Sequence[int]) -> list[float | None]:
    """Return the mean return of the last 100 training episodes as it was at each of some steps.

    Args:
        log: The run's log.
        steps: Environment steps.

    Returns:
        For each, the last finite value at it or before it; None before the first one, and where
        the log cannot be read: a relative's log must not keep a run from being shown.
    """
    try:
        known = view(log, [RETURN_KEY])
    except (OSError, NotPlainFile):
        return [None for _ in steps]
    curve = Line([known], [], "step").curve(RETURN_KEY)
    is_finite = np.isfinite(curve.values)
    at, values = curve.steps[is_finite], curve.values[is_finite]
    places = np.searchsorted(at, steps, side="right")
    return [float(values[place - 1]) if place else None for place in places]
