"""The machine and the server: is there a worker, is there room, is it up."""

import tomllib
from functools import cache
from pathlib import Path
from typing import Any

from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from ninja import Router

from apps.api.problems import responses
from apps.api.schemas.problems import Problem
from apps.api.schemas.system import Health, System
from apps.jobs.verbs import system

router = Router()


@router.get("/system", response=responses({200: System}))
def get_system(request: HttpRequest) -> Any:
    """Show workers, queue, processor, memory and disk."""
    return system.status()


@router.get("/health", auth=None, response={200: Health, 503: Problem})
def get_health(request: HttpRequest) -> Any:
    """Say that the server is up and its database answers; needs no login."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
    return {"status": "ok", "version": version(), "instance": settings.INSTANCE}


@cache
def version() -> str:
    """Return the application's version; it runs from its checkout, so no package knows it."""
    project = tomllib.loads((Path(settings.BASE_DIR) / "pyproject.toml").read_text())
    return str(project["project"]["version"])
