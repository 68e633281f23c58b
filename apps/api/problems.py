"""Every refusal of the API, translated once into a problem document."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI
from ninja.errors import AuthenticationError, HttpError, Throttled, ValidationError

from apps.accounts.problems import problem, unauthorized
from apps.api.schemas.problems import Problem
from apps.errors import (
    DamagedCheckpoint,
    DiskFull,
    FieldError,
    InvalidSpec,
    RunDirectoryBusy,
    RunDirectoryError,
)
from apps.experiments.models import RunNotFound
from apps.experiments.statuses import IllegalMove
from apps.jobs import soundness
from apps.jobs.verbs.evaluations import JobNotFound
from apps.jobs.verbs.logged_videos import FilmTooLarge
from apps.jobs.verbs.preflight import Busy
from apps.jobs.verbs.refusals import Refused
from apps.text.strict_json import GivenTwice

logger = logging.getLogger(__name__)

LOCKED_RETRY_S = 2
DISK_FULL_RETRY_S = 60
BUSY_RETRY_S = 10

READ_REFUSALS = (401, 404, 422, 503)
WRITE_REFUSALS = (400, 401, 403, 404, 409, 413, 422, 429, 503)


def responses(success: Mapping[int, Any], *, is_write: bool = False) -> dict[Any, Any]:
    """Return an operation's responses for the OpenAPI schema: its own and every refusal."""
    refusals = WRITE_REFUSALS if is_write else READ_REFUSALS
    return {**success, **dict.fromkeys(refusals, Problem)}


def refusal(field: str, message: str) -> InvalidSpec:
    """Make the error that refuses one parameter."""
    return InvalidSpec([FieldError(field, message)])


def _invalid(request: HttpRequest, error: InvalidSpec) -> HttpResponse:
    return problem(422, str(error), kind="invalid", errors=refused_fields(error.errors))


def refused_fields(errors: Sequence[FieldError]) -> list[dict[str, Any]]:
    """Return refused fields as a problem document lists them."""
    return [asdict(one) for one in errors]


def _mistyped(request: HttpRequest, error: ValidationError) -> HttpResponse:
    errors = [_refused_field(one) for one in error.errors]
    detail = "; ".join(f"{one['field']}: {one['message']}" for one in errors)
    return problem(422, detail, kind="invalid", errors=errors)


def _refused_field(error: Mapping[str, Any]) -> dict[str, str]:
    # Ninja's location is the source, then for a body the parameter's name, then the field.
    source, *parts = (str(part) for part in error["loc"])
    field = ".".join(parts[1:] if source == "body" else parts) or source
    if error["type"] == "missing":
        return {"field": field, "message": "missing; this field is required"}
    reason = error["msg"][:1].lower() + error["msg"][1:]
    return {"field": field, "message": f"{_shown(error.get('input'))} is not allowed; {reason}"}


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}…"


def _illegal_move(request: HttpRequest, error: IllegalMove) -> HttpResponse:
    return problem(409, str(error), kind="illegal-move", legal_moves=error.legal)


def _refused(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem(409, str(error), kind="refused")


def _not_found(request: HttpRequest, error: Exception) -> HttpResponse:
    return problem(404, str(error) or "There is nothing here.")


def _directory_gone(request: HttpRequest, error: RunDirectoryError) -> HttpResponse:
    logger.warning("%s", error)
    return problem(404, "A file of this run's directory is missing or damaged.", kind="damaged")


def _database_busy(request: HttpRequest, error: DatabaseError) -> HttpResponse:
    # A wrong statement of ours, such as a column that is not migrated yet: waiting does not help.
    if not soundness.is_unusable(error):
        return _crashed(request, error)
    logger.warning("The database could not be used: %s", soundness.in_words(error))
    return problem(
        503,
        f"The database cannot be used now ({error}); try again.",
        headers={"Retry-After": str(LOCKED_RETRY_S)},
    )


def _disk_full(request: HttpRequest, error: DiskFull) -> HttpResponse:
    return problem(
        503, str(error), kind="disk-full", headers={"Retry-After": str(DISK_FULL_RETRY_S)}
    )


def _http_error(request: HttpRequest, error: HttpError) -> HttpResponse:
    if error.status_code == 400:
        twice = isinstance(error.__cause__, GivenTwice)
        words = f"In the body {error.__cause__}." if twice else "The body is not valid JSON."
        return problem(400, words, kind="malformed")
    return problem(error.status_code, error.message)


def _throttled(request: HttpRequest, error: Throttled) -> HttpResponse:
    return problem(
        429, "Too many writes in this minute; wait, then go on."
    )  # Ninja adds Retry-After.


def _crashed(request: HttpRequest, error: Exception) -> HttpResponse:
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "The server failed; its log says why.")


def _busy(request: HttpRequest, error: Busy) -> HttpResponse:
    return problem(503, str(error), kind="busy", headers={"Retry-After": str(BUSY_RETRY_S)})


# The nearest class of an error's own ancestry wins.
TRANSLATIONS: dict[type[Exception], Callable[[HttpRequest, Any], HttpResponse]] = {
    InvalidSpec: _invalid,
    ValidationError: _mistyped,
    IllegalMove: _illegal_move,
    Busy: _busy,
    Refused: _refused,
    RunDirectoryBusy: _refused,
    DamagedCheckpoint: _refused,
    RunDirectoryError: _directory_gone,
    RunNotFound: _not_found,
    JobNotFound: _not_found,
    Http404: _not_found,
    DatabaseError: _database_busy,
    DiskFull: _disk_full,
    FilmTooLarge: lambda request, error: problem(413, str(error)),
    AuthenticationError: lambda request, error: unauthorized(),
    Throttled: _throttled,
    HttpError: _http_error,
    Exception: _crashed,
}


def translate_errors(api: NinjaAPI) -> None:
    """Register every translation."""
    for error, handler in TRANSLATIONS.items():
        api.add_exception_handler(error, handler)
