"""Django's entry to the room."""

from django.apps import AppConfig


class CliConfig(AppConfig):
    name = "apps.cli"
