"""What a log has received from outside scripts: which rows, which metrics, what they come to.

The log itself says it: every row carries who sent it (`writer`) and its number (`seq`). Here that
is kept in step with the log by cursor, so that a row which comes again is recognised after a
restart of the server as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from apps.metrics import store
from apps.metrics.summary import RunSummary
from apps.rundir.events import Event


@dataclass(slots=True)
class Intake:
    """What a log holds up to a cursor.

    Attributes:
        cursor: Byte offset after the last line that was taken into account.
        received: Greatest row number by writer.
        keys: Metric keys.
        summary: The fold of its events.
    """

    cursor: int = 0
    received: dict[str, int] = field(default_factory=dict)
    keys: set[str] = field(default_factory=set)
    summary: RunSummary = field(default_factory=lambda: RunSummary(is_logged=True))

    def catch_up(self, log: Path) -> None:
        """Read what others wrote."""
        for piece in store.read_all(log, self.cursor):
            self.note(piece.events, piece.cursor)

    def note(self, new_events: Sequence[Event], cursor: int) -> None:
        """Take events into account that were written up to a cursor."""
        for event in new_events:
            if event["type"] == "metrics":
                self.keys.update(event["values"])
            writer, seq = event.get("writer"), event.get("seq")
            if isinstance(writer, str) and isinstance(seq, int):
                self.received[writer] = max(self.received.get(writer, 0), seq)
            self.summary.fold(event)
        self.cursor = cursor

    def has(self, event: Event) -> bool:
        """Whether a row was received before."""
        return "writer" in event and event["seq"] <= self.received.get(event["writer"], 0)
