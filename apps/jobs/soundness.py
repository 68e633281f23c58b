"""Whether what the record is kept in can be used, and in words what to do where it cannot."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import (
    DatabaseError,
    DataError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    connection,
)

FRESH = "`python manage.py reindex --fresh` keeps it and builds a new one from the run directories"
# By the beginning of SQLite's own name of an error: what that means, and what to do.
MEANINGS = {
    "SQLITE_CORRUPT": f"is damaged; {FRESH}",
    "SQLITE_NOTADB": f"is damaged: it is no database; {FRESH}",
    "SQLITE_READONLY": "cannot be written; let this user write it and the folder it is in",
    "SQLITE_CANTOPEN": "cannot be opened; let this user read and write it and its folder",
    "SQLITE_PERM": "cannot be opened; let this user read and write it and its folder",
    "SQLITE_FULL": "cannot grow: the disk is full; free some space",
    "SQLITE_IOERR": f"cannot be read or written: look whether its disk is well; {FRESH}",
    "SQLITE_BUSY": "is held by another program; try again, or end that program",
    "SQLITE_LOCKED": "is held by another program; try again, or end that program",
    "SQLITE_ERROR": f"is not as this program made it; {FRESH}",
}
# What a wrong statement of ours raises: no fault of the database.
OUR_FAULTS = (DataError, IntegrityError, NotSupportedError, ProgrammingError)
NO_TABLE = "no such table: "
# What ends a command in one line: what its data is kept in is not as it must be.
UNUSABLE = (DatabaseError, OSError, ImproperlyConfigured)


def in_words(error: Exception) -> str:
    """Say in one line what is wrong with the database or a file, and what to do."""
    if isinstance(error, DatabaseError):
        words = _meaning(_sqlite_name(error))
        path = settings.DATABASES["default"]["NAME"]
        return f"the database {path} {words} ({_one_line(error)})"
    if isinstance(error, OSError) and error.filename:
        return (
            f"{error.filename} cannot be used: {error.strerror}; look whether it is there, "
            "whether this user may write it, and whether the disk is full"
        )
    return _one_line(error)


def is_unusable(error: Exception) -> bool:
    """Whether a database error says that the database cannot be used, not that we are wrong."""
    if not isinstance(error, DatabaseError) or isinstance(error, OUR_FAULTS):
        return False
    # A plain ERROR is a wrong statement, such as a column that is not migrated yet. No statement
    # names a table that was never made, though: then the file was deleted or replaced meanwhile.
    return _sqlite_name(error) != "SQLITE_ERROR" or _one_line(error).startswith(NO_TABLE)


def database_trouble() -> str:
    """Read the whole database and write to it; return what is wrong, empty when nothing is."""
    try:
        with connection.cursor() as cursor:
            found = [str(row[0]) for row in cursor.execute("PRAGMA quick_check(3)").fetchall()]
            version = cursor.execute("PRAGMA user_version").fetchone()[0]
            cursor.execute(f"PRAGMA user_version = {int(version)}")  # The least that writes.
    except DatabaseError as error:
        return in_words(error)
    path = connection.settings_dict["NAME"]
    return "" if found == ["ok"] else f"{path} {MEANINGS['SQLITE_CORRUPT']} ({found[0]})"


def media_trouble() -> str:
    """Write a file where runs are kept and read it; return what is wrong, empty if nothing is."""
    try:
        for folder in (Path(settings.MEDIA_ROOT), Path(settings.RUNS_ROOT)):
            folder.mkdir(parents=True, exist_ok=True)
            with NamedTemporaryFile(dir=folder, prefix=".probe-", suffix=".tmp") as file:
                file.write(b"probe")
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        return f"{settings.MEDIA_ROOT} cannot be written: {in_words(error)}"
    return ""


def queue_trouble() -> str:
    """Read the queue's file; return what is wrong with it, empty when nothing is."""
    path = Path(str(settings.QUEUE_PATH))
    if not path.exists() and os.access(path.parent, os.W_OK):
        return ""
    try:
        with closing(sqlite3.connect(path, timeout=1)) as queue:
            found = str(queue.execute("PRAGMA quick_check(1)").fetchone()[0])
            queue.execute("BEGIN IMMEDIATE")
            queue.execute("ROLLBACK")
    except (sqlite3.Error, OSError) as error:
        found = str(error)
    if found == "ok":
        return ""
    return f"{path} cannot be used ({found}); delete it: it holds nothing, and is made anew"


def _sqlite_name(error: BaseException) -> str:
    return str(getattr(error.__cause__, "sqlite_errorname", ""))


def _meaning(name: str) -> str:
    found = (words for start, words in MEANINGS.items() if name.startswith(start))
    return next(found, "cannot be used; `python manage.py doctor` looks what is wrong")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
