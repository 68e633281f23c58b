"""The queue itself: one Huey instance on SQLite, in its own file.

A doorbell, not a record: Huey deletes a task before it runs and loses it on a kill, so a task only
says "look at the rows". Handing Huey an instance keeps `immediate` off whatever DEBUG says.

A doorbell that cannot be rung fails nobody: what rang stands in the rows, and a worker's watchdog
rings again. So its file may be deleted, replaced, damaged, locked or read-only at any time: it is
opened anew, a damaged one is made anew, and where it cannot be written a ring is heard within this
process alone, which for the watchdog's is enough.
"""

import logging
import sqlite3
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from huey import SqliteHuey
from huey.storage import SqliteStorage

# Rings come in milliseconds; whoever holds the file for longer is not one of us.
TIMEOUT_S = 2.0
# More of them say no more: each task looks at all rows.
MOST_UNHEARD = 64
FILE_SUFFIXES = ("", "-wal", "-shm")

logger = logging.getLogger(__name__)


class Doorbell(SqliteStorage):
    """Huey's queue in a file that may vanish; what cannot be written is kept in memory."""

    _conn: sqlite3.Connection | None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._unheard: deque[bytes] = deque(maxlen=MOST_UNHEARD)
        self._opened: tuple[int, int] | None = None
        self._is_broken = False
        super().__init__(*args, create_tables=False, **kwargs)

    def enqueue(self, data: bytes, priority: float | None = None) -> None:
        """Ring; never raises for what is wrong with the file."""
        try:
            self._reopen_if_replaced()
            super().enqueue(data, priority)
            self._tell(None)
        except (sqlite3.Error, OSError) as error:
            self._tell(error)
            self._unheard.append(data)

    def dequeue(self) -> bytes | None:
        """Take a ring: one of this process's own that was not written down, else of the file."""
        try:
            return self._unheard.popleft()
        except IndexError:
            pass
        try:
            self._reopen_if_replaced()
            return super().dequeue()  # type: ignore[no-any-return]
        except (sqlite3.Error, OSError) as error:
            self._tell(error)
            return None

    def close(self) -> bool:
        """Close the file; unlike Huey's, several threads may at once."""
        with self.lock:
            if self._conn is None:
                return False
            self._conn.close()
            self._conn = None
        return True

    def _create_connection(self) -> sqlite3.Connection:
        """Open the file and make its tables where they are missing, the file anew if damaged."""
        try:
            return self._open()
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:  # No database, or no whole one.
            logger.warning("%s is damaged (%s): it is made anew", self.filename, error)
            self._remove()
            return self._open()

    def _open(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._create_connection()
        try:
            for statement in self.ddl:
                connection.execute(statement)
        except sqlite3.Error:
            connection.close()
            raise
        self._opened = self._identity()
        return connection

    def _reopen_if_replaced(self) -> None:
        if self._conn is not None and self._identity() != self._opened:
            self.close()

    def _identity(self) -> tuple[int, int] | None:
        try:
            stat = Path(self.filename).stat()
        except OSError:
            return None
        return (stat.st_dev, stat.st_ino) if stat.st_size else None  # Emptied is as good as gone.

    def _tell(self, error: Exception | None) -> None:
        """Say once that the doorbell is broken, and once that it is mended."""
        if error is not None:
            self.close()
            if is_damage(error):
                self._remove()
        if self._is_broken != (error is not None):
            self._is_broken = error is not None
            words = (
                f"cannot be used: {error}; the watchdog rings anyway" if error else "rings again"
            )
            logger.warning("the queue's file %s %s", self.filename, words)

    def _remove(self) -> None:
        with suppress(OSError):  # Not ours to write, then: rings are heard here alone.
            for suffix in FILE_SUFFIXES:
                Path(f"{self.filename}{suffix}").unlink(missing_ok=True)


def is_damage(error: Exception) -> bool:
    """Whether SQLite says that a file is no database, or not a whole one."""
    return getattr(error, "sqlite_errorname", "") in {"SQLITE_CORRUPT", "SQLITE_NOTADB"}


class DoorbellHuey(SqliteHuey):
    """Huey with a doorbell whose ringing never fails."""

    storage_class = Doorbell


huey = DoorbellHuey("rlgym", filename=str(settings.QUEUE_PATH), results=False, timeout=TIMEOUT_S)
