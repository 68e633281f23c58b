"""Write the event files that TensorBoard reads; the one module that imports TensorBoard.

A dump of scalars becomes one record, where `SummaryWriter` makes one of each scalar: TensorBoard
reads both alike, and the checksum in Python is what costs. Nothing is queued for a thread, so what
was added is with the kernel, and a full disk is said to who asked.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from tensorboard.compat.proto.event_pb2 import Event as Record
from tensorboard.compat.proto.event_pb2 import SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

from apps.rundir.events import Event, value_of

# What every event file begins with; it has readers obey the marks that purge points.
FILE_VERSION = "brain.Event:2"


def open_file(folder: Path) -> "ScalarFile":
    """Make the next event file of a folder.

    Files are read in the order of their names, so they are numbered: clocks are set back.
    """
    folder.mkdir(exist_ok=True)
    number = sum(1 for _ in folder.glob("events.out.tfevents.*"))
    return ScalarFile((folder / f"events.out.tfevents.{number:010}").open("xb"))


class ScalarFile:
    """One event file, of one attempt."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._records = RecordWriter(file)
        self._write(Record(file_version=FILE_VERSION))

    def add(self, several: Iterable[Event]) -> None:
        """Append a record for each event with scalars, and one that purges for each attempt."""
        for event in several:
            if event["type"] == "metrics":
                self._write(_scalars(event))
            elif event["type"] == "attempt":
                # Readers drop the points from its step on that they have from earlier files.
                start = SessionLog(status=SessionLog.START)
                step = event["from_step"] + 1
                self._write(Record(wall_time=event["t"], step=step, session_log=start))
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, record: Record) -> None:
        self._records.write(record.SerializeToString())


def _scalars(event: Event) -> Record:
    numbers = ((key, value_of(event, key)) for key in event["values"])
    values = [Summary.Value(tag=key, simple_value=number) for key, number in numbers]
    return Record(wall_time=event["t"], step=event["step"], summary=Summary(value=values))
