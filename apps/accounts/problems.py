"""A refusal as a program reads it: `application/problem+json` (RFC 9457)."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson
from django.http import HttpResponse

PROBLEM_TYPE = "application/problem+json"
LOGIN_NEEDED = "Log in, or send an API token as `Authorization: Bearer …`."


def problem(
    status: int,
    detail: str,
    *,
    kind: str = "",
    headers: Mapping[str, str] | None = None,
    **members: Any,
) -> HttpResponse:
    """Make a problem document.

    Args:
        status: HTTP status, 400 to 599.
        detail: What is wrong with this request and what to do.
        kind: Short name of the problem, where the status alone says too little.
        headers: Further response headers.
        members: Further members (`errors`, `legal_moves`); None leaves one out.
    """
    phrase = HTTPStatus(status).phrase
    content = {
        "type": f"urn:rlgym:problem:{kind}" if kind else "about:blank",
        "title": phrase,
        "status": status,
        "detail": detail,
        **{name: value for name, value in members.items() if value is not None},
    }
    response = HttpResponse(orjson.dumps(content), status=status, content_type=PROBLEM_TYPE)
    for name, value in (headers or {}).items():
        response[name] = value
    return response


def unauthorized() -> HttpResponse:
    """Refuse a request of nobody we know."""
    return problem(401, LOGIN_NEEDED, headers={"WWW-Authenticate": "Bearer"})
