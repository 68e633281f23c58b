"""Django's entry to the room."""

from django.apps import AppConfig


class JobsConfig(AppConfig):
    name = "apps.jobs"
