"""Django's entry to the room: registers the system checks."""

from django.apps import AppConfig
from django.core.checks import register

from apps.jobs.checks import OURS, check_local_disk, check_sqlite_pragmas


class JobsConfig(AppConfig):
    """The queueing room."""

    name = "apps.jobs"

    def ready(self) -> None:
        register(check_sqlite_pragmas, OURS)
        register(check_local_disk, OURS)
