"""Learning curves: thin them for a chart, smooth them for the eye."""

import itertools

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]

EMA_COLUMN = 1024


def thin(xs: FloatArray, values: FloatArray, max_points: int) -> NDArray[np.int64]:
    """Choose the points that draw the same picture: each bucket's first, least, greatest and last.

    Buckets begin at 0 and their width is a power of two. While a curve grows, the choice in
    a bucket that it has left stays until the width doubles; then points may be dropped, but none
    appears that was not drawn before: the past does not move.

    Args:
        xs: Shape (n,), float64, environment steps or another axis, not decreasing.
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
    count = len(xs)
    if count <= max_points:
        return np.arange(count, dtype=np.int64)
    buckets = max_points // 4
    span = max(float(xs[-1] - xs[0]), 1.0)
    # Rounded up to a power of two, so that at most one bucket more than wanted is touched.
    width = 2.0 ** np.ceil(np.log2(span / buckets))
    first = np.floor(xs[0] / width)
    edges = width * np.arange(first, np.floor(xs[-1] / width) + 2.0)
    bounds = np.unique(np.searchsorted(xs, edges))
    chosen = [bounds[:-1], bounds[1:] - 1]
    for start, end in itertools.pairwise(bounds.tolist()):
        chosen.append(start + _extremes(values[start:end]))
    return np.unique(np.concatenate(chosen)).astype(np.int64)


def _extremes(values: FloatArray) -> NDArray[np.int64]:
    """Return where the least, the greatest and the first not finite of some values are."""
    least, greatest = int(values.argmin()), int(values.argmax())
    # NaN wins both searches, and Inf one of them: where neither does, all are finite.
    if np.isfinite(values[[least, greatest]]).all():
        return np.array([least, greatest])
    finite = np.isfinite(values)
    special = [int(np.argmin(finite))]
    if finite.any():
        special.append(int(np.where(finite, values, np.inf).argmin()))
        special.append(int(np.where(finite, values, -np.inf).argmax()))
    return np.array(special)


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
    finite = np.isfinite(values)
    if finite.all():
        return _debiased(values, weight)
    smoothed = np.append(_debiased(values[finite], weight), np.nan)
    last_finite = np.cumsum(finite) - 1  # -1 before the first, which is where the NaN is.
    return np.take(smoothed, last_finite)


def _debiased(values: FloatArray, weight: float) -> FloatArray:
    # The recursion is cut into columns of a fixed length, which advance together; then each
    # column gets its share of what the one before it ended with. The length never depends on how
    # many values there are, so more of them leave the earlier averages as they were, to the bit.
    columns = -(-len(values) // EMA_COLUMN)
    padded = np.zeros(columns * EMA_COLUMN)
    np.multiply(values, 1.0 - weight, out=padded[: len(values)])
    table = np.ascontiguousarray(padded.reshape(columns, EMA_COLUMN).T)
    for row in range(1, EMA_COLUMN):
        table[row] += weight * table[row - 1]
    shares = weight ** np.arange(1, EMA_COLUMN + 1)
    carried = np.zeros(columns)
    for column in range(1, columns):
        carried[column] = table[-1, column - 1] + shares[-1] * carried[column - 1]
    past = shares[-1] ** np.arange(columns)
    table += np.multiply.outer(shares, carried)
    table /= 1.0 - np.multiply.outer(shares, past)
    averages: FloatArray = table.T.reshape(-1)[: len(values)]
    return averages


def windowed_mean(steps: FloatArray, values: FloatArray, window: int) -> FloatArray:
    """Smooth with the mean of a window that ends at each point.

    Args:
        steps: Shape (n,), float64, environment steps, not decreasing.
        values: Shape (n,), float64. NaN and Inf are skipped.
        window: Width in steps, at least 1: a point `window` steps back is just outside.

    Returns:
        Shape (n,), float64; NaN where the window holds no finite value.

    Raises:
        ValueError: `window` is less than 1.
    """
    if window < 1:
        raise ValueError(f"window must be at least 1, not {window}")
    finite = np.isfinite(values)
    # Windows end in one block of that width and begin in it or in the one before: the sum is that
    # of a block's end and of the next one's beginning. Nothing is subtracted, so one huge value
    # spoils only the windows that hold it.
    block = np.floor(steps / window)
    sums = np.where(finite, values, 0.0)
    begin = np.searchsorted(steps, steps - window, side="right")
    total = _running(sums, block)
    reaches_back = np.flatnonzero(block[begin] < block)
    total[reaches_back] += _running(sums[::-1], block[::-1])[::-1][begin[reaches_back]]
    before = np.cumsum(finite) - finite
    number = before + finite - before[begin]
    means: FloatArray = np.full(len(steps), np.nan)
    np.divide(total, number, out=means, where=number > 0)
    return means


def _running(values: FloatArray, block: FloatArray) -> FloatArray:
    """Return the sum of each value and those before it in its block, by doubling."""
    total = values.copy()
    reach = 1
    while reach < len(values):
        is_same = block[reach:] == block[:-reach]
        if not is_same.any():
            break
        total[reach:] += np.where(is_same, total[:-reach], 0.0)
        reach *= 2
    return total
