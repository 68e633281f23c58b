"""System checks: what must hold before anything runs, each with the way to mend it."""

from pathlib import Path
from typing import Any

import psutil
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.db import connection

OURS = "rlgym"  # The tag of these checks, which every command runs.
NETWORK_FILE_SYSTEMS = frozenset({"nfs", "nfs4", "cifs", "smbfs", "smb3", "9p", "fuse.sshfs"})
SYNCHRONOUS_NORMAL = 1


def check_sqlite_pragmas(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Assert the SQLite options that keep two writers from "database is locked"."""
    if connection.vendor != "sqlite":
        return []
    with connection.cursor() as cursor:
        journal_mode = cursor.execute("PRAGMA journal_mode").fetchone()[0]
        synchronous = cursor.execute("PRAGMA synchronous").fetchone()[0]
    transaction_mode = connection.settings_dict["OPTIONS"].get("transaction_mode")
    wanted = {
        "journal_mode": (journal_mode, ("wal", "memory")),  # A test database may live in memory.
        "synchronous": (synchronous, (SYNCHRONOUS_NORMAL,)),
        "transaction_mode": (transaction_mode, ("IMMEDIATE",)),
    }
    return [
        Error(
            f"SQLite's {name} is {value!r}, it must be {allowed[0]!r}.",
            hint="Keep the OPTIONS of DATABASES['default'] in rlgym/settings.py.",
            id="rlgym.E001",
        )
        for name, (value, allowed) in wanted.items()
        if value not in allowed
    ]


def check_local_disk(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn when the data directory lies on a network file system, where WAL and flock break."""
    home = Path(settings.HOME)
    mounts = {Path(part.mountpoint): part.fstype for part in psutil.disk_partitions(all=True)}
    nearest = next((mounts[path] for path in (home, *home.parents) if path in mounts), "")
    if nearest not in NETWORK_FILE_SYSTEMS:
        return []
    return [
        Warning(
            f"RLGYM_HOME is on a network file system ({nearest}): SQLite's write-ahead log and "
            "file locks are not safe there.",
            hint="Set RLGYM_HOME to a folder on a local disk.",
            id="rlgym.W001",
        )
    ]
