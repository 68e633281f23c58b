"""Build a new database from the run directories beside one that is damaged, which is kept."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from django.conf import settings
from django.db import connection

from apps.jobs import presence
from apps.jobs.queue import FILE_SUFFIXES
from apps.jobs.verbs import reindex
from apps.jobs.verbs.refusals import Refused
from apps.jobs.verbs.reindex import Report
from apps.jobs.worker.stack import only_one

LOST = (
    "users and their passwords, sessions, login links and API tokens (`up` and `login_link` make "
    "the first admin anew, `createsuperuser` others), and evaluations that waited or failed"
)


def rebuild(make_tables: Callable[[], None]) -> tuple[Report, Path | None]:
    """Put the database aside, whole or damaged, and rebuild the rows of every run directory.

    Returns:
        What was rebuilt, and where the old database is now; None when there was none.

    Raises:
        Refused: A worker is alive, which would write to the old one.
        StackFailed: rlgym is up.
    """
    home = Path(settings.HOME)
    with only_one(home, "no address: it rebuilds the database"):
        if presence.living(home):
            raise Refused("a worker is alive; end it before the database is built anew")
        connection.close()
        kept = _put_aside(Path(connection.settings_dict["NAME"]))
        make_tables()
        return reindex.reindex(), kept


def _put_aside(path: Path) -> Path | None:
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    kept = path.with_name(f"{path.stem}.before-{now}{path.suffix}")
    was_there = path.exists()
    for suffix in FILE_SUFFIXES:  # A write-ahead log belongs to its database, and goes with it.
        beside = Path(f"{path}{suffix}")
        if beside.exists():
            beside.rename(f"{kept}{suffix}")
    return kept if was_there else None
