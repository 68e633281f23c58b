"""What a handful of seeds says: their interquartile mean and how far to trust it.

The interquartile mean forgets the best and the worst quarter: it is steadier than the mean and
uses more of the seeds than the median (Agarwal et al., NeurIPS 2021, arXiv:2108.13264).
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

RESAMPLES = 5000


class Interval(NamedTuple):
    """Bounds that hold a statistic with some confidence.

    Attributes:
        low: Lower bound.
        high: Upper bound.
    """

    low: float
    high: float


def iqm(values: ArrayLike) -> float:
    """Return the interquartile mean of some seeds' values.

    Args:
        values: Shape (n,), n >= 1, one value a seed. Inf stands for a seed that never got there:
            while such are a quarter at most, they do not show.

    Returns:
        Mean of what is left without the floor(n / 4) least and as many greatest values.

    Raises:
        ValueError: There is no value, or one is NaN.
    """
    return float(_iqm_of_rows(_checked(values)[np.newaxis])[0])


def iqm_interval(values: ArrayLike, confidence: float = 0.95, seed: int = 0) -> Interval:
    """Return the percentile bootstrap interval of the interquartile mean.

    Args:
        values: As for `iqm`.
        confidence: How sure the interval is to hold it, between 0 and 1.
        seed: Seed of the resampling: the same values give the same interval.

    Raises:
        ValueError: There is no value, one is NaN, or `confidence` is out of its bounds.
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence must be between 0 and 1, not {confidence}")
    given = _checked(values)
    drawn = np.random.default_rng(seed).integers(len(given), size=(RESAMPLES, len(given)))
    means = np.sort(_iqm_of_rows(given[drawn]))
    # By order, not interpolated: between a number and Inf there is nothing.
    outside = int((1.0 - confidence) / 2 * RESAMPLES)
    return Interval(float(means[outside]), float(means[-1 - outside]))


def penalized_mean(values: ArrayLike, penalty: float) -> float:
    """Return the mean of some costs, where a seed that never got there costs the penalty.

    With twice the limit as penalty this is PAR2, by which solvers are ranked: one that is fast
    but fails now and then loses to one that is a little slower and does not.

    Args:
        values: Shape (n,), n >= 1, cost of each seed; Inf of one that never got there.
        penalty: What such a seed counts as.

    Raises:
        ValueError: There is no value, or one is NaN.
    """
    given = _checked(values)
    return float(np.where(np.isinf(given), penalty, given).mean())


def _checked(values: ArrayLike) -> FloatArray:
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or not len(given):
        raise ValueError(f"needs one value or more in a row, not an array of shape {given.shape}")
    if np.isnan(given).any():
        raise ValueError("a value is NaN; leave the seed out, or say inf for one that failed")
    return given


def _iqm_of_rows(rows: FloatArray) -> FloatArray:
    count = rows.shape[1]
    cut = math.floor(count / 4)
    means: FloatArray = np.sort(rows, axis=1)[:, cut : count - cut].mean(axis=1)
    return means
