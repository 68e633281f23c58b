"""What the benchmarks of logs write and read: the same numbers for every side."""

import numpy as np

# Of a dump.
KEYS = [f"train/metric_{number}" for number in range(12)]
# Of a long curve, and the pixels of its chart.
KEY = "train/loss"
PIXELS = 1500

Dumps = list[dict[str, float]]


def made(dumps: int) -> Dumps:
    """Return the scalars of every step; making them is no side's work."""
    return [{key: step / (number + 1) for number, key in enumerate(KEYS)} for step in range(dumps)]


def values_of(points: int) -> list[float]:
    """Return the values of the long curve."""
    return np.cumsum(np.random.default_rng(0).normal(size=points)).tolist()
