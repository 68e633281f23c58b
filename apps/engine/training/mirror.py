"""A copy of a run's scalars for TensorBoard, where its spec asks for one.

The log is the truth; what is in it goes to the mirror as well. A mirror that cannot be written is
given up and said so in `train.log`: it never ends a training.
"""

import logging
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from apps.rundir.events import Event

logger = logging.getLogger(__name__)


class EventFile(Protocol):
    """A file that TensorBoard reads."""

    def add(self, several: Iterable[Event]) -> None:
        """Append what TensorBoard shows of some events, and hand it to the kernel."""

    def close(self) -> None:
        """Close the file."""


class Mirror:
    """Passes events on to an event file that is made with the first of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file: EventFile | None = None
        self._is_over = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file:
            self._file.close()

    def take(self, several: list[Event]) -> None:
        """Copy events that are in the log."""
        if self._is_over:
            return
        try:
            if self._file is None:
                # By name: its library costs a seventh of a second, and is an extra.
                self._file = import_module("apps.engine.training.tensorboard").open_file(
                    self._folder
                )
            self._file.add(several)
        except (ImportError, OSError, ValueError) as error:
            self._is_over = True
            logger.warning("no more points for TensorBoard, training goes on: %s", error)
