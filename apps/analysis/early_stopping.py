"""Tell runs that are not worth going on with from those that are.

The median stopping rule of Google Vizier (Golovin et al., KDD 2017, section 3.2.2): a trial is
stopped at a step when its best value by then is strictly worse than the median of the running
averages that the others had at the same step. Greater is better here: values are returns.
"""

from collections.abc import Sequence
from typing import Literal

import numpy as np

MEDIAN: Literal["median"] = "median"
# With fewer others their median says little.
LEAST_OTHERS = 3


def threshold(below: float | Literal["median"], others: Sequence[float]) -> float | None:
    """Return what a run's best return must not be below.

    Args:
        below: A return, or `median`: that of the others' running means.
        others: Mean of all returns that each other run had reported by the same step; NaN of one
            that had reported none is left out.

    Returns:
        The threshold; None when fewer than `LEAST_OTHERS` got that far.
    """
    if below != MEDIAN:
        return float(below)
    means = np.asarray(others, dtype=np.float64)
    means = means[np.isfinite(means)]
    return float(np.median(means)) if len(means) >= LEAST_OTHERS else None


def is_hopeless(best: float, at_least: float | None) -> bool:
    """Return whether a run's best return so far is strictly below a threshold; None: never."""
    return at_least is not None and best < at_least
