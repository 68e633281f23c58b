"""How every benchmark reports: a table of medians, then one line of JSON."""

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any


def interleaved(rounds: int, **sides: Any) -> dict[str, list[float]]:
    """Run the sides alternately and gather what each returns, so that drift hits all alike.

    Args:
        rounds: How often each side runs.
        **sides: Functions without arguments that return a number, by name.
    """
    samples: dict[str, list[float]] = {name: [] for name in sides}
    for index in range(rounds):
        order = list(sides) if index % 2 == 0 else list(reversed(sides))
        for name in order:
            samples[name].append(sides[name]())
    return samples


def print_samples(unit: str, samples: dict[str, list[float]]) -> None:
    """Print count, median and range of each side."""
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}")
    for name, values in samples.items():
        print(
            f"{name:<24} n={len(values):<3} median {statistics.median(values):10.3f} {unit}"
            f"   min {min(values):10.3f}   max {max(values):10.3f}"
        )


def print_verdict(name: str, kind: str, value: float, target: float, samples: Any) -> None:
    """Print the last line: JSON with the value, the target, and whether value <= target."""
    verdict = {
        "name": name,
        kind: round(value, 4),
        "target": target,
        "ok": value <= target,
        "samples": samples,
    }
    print(json.dumps(verdict))


class Clock:
    """Gathers the seconds within functions, the outermost call counting."""

    def __init__(self, now: Callable[[], float] = time.perf_counter) -> None:
        self._now = now
        self.spent_s = 0.0
        self.calls = 0
        self._is_running = False

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function, timed."""

        def timed(*arguments: Any, **named: Any) -> Any:
            if self._is_running:
                return function(*arguments, **named)
            self._is_running = True
            started_at = self._now()
            try:
                return function(*arguments, **named)
            finally:
                self.spent_s += self._now() - started_at
                self.calls += 1
                self._is_running = False

        return timed
