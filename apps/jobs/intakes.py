"""What the logs of outside scripts have received, kept in memory between their batches.

A log's own lock is held while its intake is used, so that lines and intake tell the same.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock

from apps.errors import RunDirectoryError
from apps.experiments.models import Run
from apps.metrics.received import Intake
from apps.rundir import events
from apps.rundir.events import Event
from apps.rundir.log import LogWriter

INTAKES_KEPT = 256

_intakes: OrderedDict[Path, Intake] = OrderedDict()
_intakes_lock = Lock()


@contextmanager
def intake_of(run: Run) -> Iterator[tuple[LogWriter, Intake]]:
    """Hold a log's lock and give what it has received up to its present end."""
    log = run.directory.log
    if not log.exists():
        raise RunDirectoryError(f"the log of run {run.pk} is gone")
    with LogWriter(log) as writer, writer.exclusive() as end:
        intake = _remembered(log)
        if intake.cursor > end:  # Another file has taken the log's place.
            intake = _remembered(log, is_new=True)
        intake.catch_up(log)
        yield writer, intake


def _remembered(log: Path, is_new: bool = False) -> Intake:
    with _intakes_lock:
        if is_new or log not in _intakes:
            _intakes[log] = Intake()
        _intakes.move_to_end(log)
        while len(_intakes) > INTAKES_KEPT:
            _intakes.popitem(last=False)
        return _intakes[log]


def write(writer: LogWriter, intake: Intake, new: Sequence[Event]) -> None:
    """Write events into a log whose lock is held, and take them into account."""
    intake.note(new, writer.write_alone(b"".join(map(events.encode, new))))
