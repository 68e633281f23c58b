"""Whether a spec may be asked for, and by whom."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any

from django.conf import settings

from apps.catalogue import extras
from apps.catalogue.algorithms.backends import BACKENDS
from apps.errors import FieldError, InvalidSpec
from apps.jobs.descriptions import description_of
from apps.jobs.verbs.own_environments import sources
from apps.machine import gpu
from apps.spec.fitting import check_fit
from apps.spec.run import RunSpec
from apps.spec.trust import Registered, refusals


class Asker(StrEnum):
    """Who asks: somebody through a page or a request, or the user of the machine itself."""

    LOGIN = "login"
    TERMINAL = "terminal"


def check_spec(
    data: Mapping[str, Any],
    asker: Asker = Asker.LOGIN,
    inherited: Mapping[str, Any] | None = None,
) -> RunSpec:
    """Validate a spec wholly, environment included.

    An environment that we have no card of is constructed in a trainer process, so that its code
    never runs in a web server.

    Args:
        data: Fields of the spec.
        asker: Who asks; see `check_asker`.
        inherited: The spec of the run that it goes on from.

    Raises:
        InvalidSpec: Lists every refused field.
    """
    spec = RunSpec.from_dict(data)
    check_asker(spec, asker, inherited)
    if spec.weights:
        message = "is the hash of a file that is given with the spec; leave it out"
        raise InvalidSpec([FieldError("weights", message)])
    if words := BACKENDS[spec.backend].missing():
        raise InvalidSpec([FieldError("backend", words)])
    if spec.device == "cuda" and gpu.look() is None:
        message = "'cuda' is not available on this machine: no GPU is found; use auto or cpu"
        raise InvalidSpec([FieldError("device", message)])
    if spec.tensorboard and (words := extras.missing()):
        raise InvalidSpec([FieldError("tensorboard", words)])
    check_fit(spec, description_of(spec))
    return spec


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
