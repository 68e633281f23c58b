"""Events on their way to the log, and the library's scalars among them."""

import time
from contextlib import suppress
from typing import Any

from stable_baselines3.common.logger import KVWriter, Logger

from apps.engine.training.mirror import Mirror
from apps.rundir import events
from apps.rundir.log import LogWriter

FLUSH_INTERVAL_S = 0.2
# Few enough to stay in the processor's cache.
MAX_LINES_WAITING = 256


class EventLog:
    """Events on their way to the log: gathered for a moment, then written in one go.

    They wait as lines: as objects they would keep the garbage collector busy.
    """

    def __init__(self, writer: LogWriter, mirror: Mirror | None = None) -> None:
        self._writer = writer
        self._mirror = mirror
        self._lines: list[bytes] = []
        self._unmirrored: list[events.Event] = []
        self._flushed_at = time.monotonic()

    def add(self, event: events.Event) -> None:
        """Take an event; it is in the file after at most `FLUSH_INTERVAL_S` and the next event."""
        self._lines.append(events.encode(event))
        if self._mirror:
            self._unmirrored.append(event)
        is_late = time.monotonic() - self._flushed_at > FLUSH_INTERVAL_S
        if is_late or len(self._lines) >= MAX_LINES_WAITING:
            self.flush()

    def flush(self) -> None:
        """Write what is pending.

        Raises:
            DiskFull: The log kept its whole lines; what was pending stays pending.
        """
        if self._lines:
            self._writer.write_lines(b"".join(self._lines))
            self._lines.clear()
            if self._mirror:
                written, self._unmirrored = self._unmirrored, []
                self._mirror.take(written)
        self._flushed_at = time.monotonic()


class _ScalarWriter(KVWriter):
    """Receives every scalar that the library logs."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def write(
        self, key_values: dict[str, Any], key_excluded: dict[str, tuple[str, ...]], step: int = 0
    ) -> None:
        is_plain = events.PLAIN_NUMBERS.issuperset(map(type, key_values.values()))
        numbers = key_values if is_plain else _numbers_in(key_values)
        self._log.add(events.metrics(step, numbers))

    def close(self) -> None:
        self._log.flush()


def _numbers_in(key_values: dict[str, Any]) -> dict[str, float]:
    numbers = {}
    for key, value in key_values.items():
        number = value
        if hasattr(value, "item"):
            with suppress(ValueError, RuntimeError):  # What holds more than one number.
                number = value.item()
        if isinstance(number, int | float) and not isinstance(number, bool):
            numbers[key] = number
    return numbers


def scalar_logger(log: EventLog) -> Logger:
    """Return a Stable-Baselines3 logger that writes to a run's log and nowhere else."""
    return Logger(folder=None, output_formats=[_ScalarWriter(log)])
