"""Django's entry to the room."""

from django.apps import AppConfig


class DashboardConfig(AppConfig):
    name = "apps.dashboard"
