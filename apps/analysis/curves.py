"""Learning curves: thin them for a chart, smooth them for the eye."""

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


def thin(steps: FloatArray, values: FloatArray, max_points: int) -> NDArray[np.int64]:
    """Choose the points that draw the same picture: each bucket's first, least, greatest and last.

    Buckets begin at step 0 and their width is a power of two. While a curve grows, the choice in
    a bucket that it has left stays until the width doubles; then points may be dropped, but none
    appears that was not drawn before: the past does not move.

    Args:
        steps: Shape (n,), float64, environment steps, not decreasing.
        values: Shape (n,), float64; NaN and Inf mark missing or diverged values; the first of each
            bucket is kept.
        max_points: About how many points to keep, at least 4; a quarter more where every bucket
            holds NaN or Inf.

    Returns:
        Shape (m,), int64, increasing indices into the input; all of them when n <= max_points.

    Raises:
        ValueError: `max_points` is less than 4.
    """
    if max_points < 4:
        raise ValueError(f"max_points must be at least 4, not {max_points}")
    count = len(steps)
    if count <= max_points:
        return np.arange(count, dtype=np.int64)
    buckets = max_points // 4
    span = max(float(steps[-1] - steps[0]), 1.0)
    # Rounded up to a power of two, so that at most one bucket more than wanted is touched.
    width = 2.0 ** np.ceil(np.log2(span / buckets))
    bucket_of = np.floor(steps / width).astype(np.int64)
    starts = np.flatnonzero(np.diff(bucket_of, prepend=bucket_of[0] - 1))
    ends = np.append(starts[1:], count)
    finite = np.isfinite(values)
    order = np.lexsort((np.where(finite, values, np.inf), bucket_of))
    least = order[starts]
    order = np.lexsort((np.where(finite, values, -np.inf), bucket_of))
    greatest = order[ends - 1]
    special = np.flatnonzero(~finite)
    special = special[np.diff(bucket_of[special], prepend=bucket_of[0] - 1) > 0]
    chosen = np.concatenate((starts, ends - 1, least, greatest, special))
    return np.unique(chosen).astype(np.int64)


def smooth(values: FloatArray, weight: float) -> FloatArray:
    """Smooth with a debiased exponential moving average.

    Args:
        values: Shape (n,), float64. NaN and Inf are skipped: the average goes on past them.
        weight: Share of the past in each new average, 0 <= weight < 1; 0 changes nothing.

    Returns:
        Shape (n,), float64; NaN before the first finite value. With weight 0, the values as they
        are, NaN and Inf included.

    Raises:
        ValueError: `weight` is out of its bounds.
    """
    if not 0.0 <= weight < 1.0:
        raise ValueError(f"weight must be from 0 to below 1, not {weight}")
    if weight == 0.0:
        return np.array(values, dtype=np.float64)
    smoothed = np.full(len(values), np.nan)
    average, total_weight = 0.0, 0.0
    for index, value in enumerate(values):
        if np.isfinite(value):
            average = weight * average + (1.0 - weight) * value
            total_weight = weight * total_weight + (1.0 - weight)
        if total_weight > 0.0:
            smoothed[index] = average / total_weight
    return smoothed
