"""Who asks for a run, and what is registered for whoever asks with a login."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.engine.errors import InvalidSpec
from apps.engine.spec import RunSpec
from apps.engine.trust import Registered, refusals
from apps.jobs.own_environments import sources


class Asker(StrEnum):
    """Who asks: somebody through a page or a request, or the user of the machine itself."""

    LOGIN = "login"
    TERMINAL = "terminal"


def check_asker(spec: RunSpec, asker: Asker, inherited: Mapping[str, Any] | None = None) -> None:
    """Refuse what a login may not name, before anything of it is imported or opened.

    The user of the machine can run any program on it: a terminal may name whatever it imports.

    Args:
        spec: The spec, valid in itself.
        asker: Who asks.
        inherited: The spec of the run that it goes on from: what is the same there stays allowed.

    Raises:
        InvalidSpec: Lists every refused field.
    """
    if asker is Asker.TERMINAL:
        return
    modules = {source.module for source in sources()} | {*settings.TRUSTED_MODULES}
    folder = Path(settings.HOME)
    registered = Registered(folder, Path(settings.BASE_DIR), frozenset(modules))
    if errors := refusals(spec, registered, inherited):
        raise InvalidSpec(errors)
