"""One rule for every face: a bearer token, or a session."""

import io
from importlib import import_module
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIRequest
from django.http import HttpRequest

from apps.accounts.models import ApiToken


def bearer_user(authorization: str) -> User | None:
    """Return the user of an `Authorization` header's bearer token, None without a valid one."""
    scheme, _, secret = authorization.partition(" ")
    if scheme.lower() != "bearer" or not secret.strip():
        return None
    return ApiToken.objects.user_of(secret.strip())


def session_user(request: HttpRequest) -> User | None:
    """Return the user that is logged in with this browser, None when nobody is.

    Whoever changes something for this user checks the CSRF token as well.
    """
    return request.user if request.user.is_authenticated else None


def reader_of(request: HttpRequest) -> User | None:
    """Return who asks to read, by token or by session; None when nobody is logged in."""
    return bearer_user(request.headers.get("Authorization", "")) or session_user(request)


def reader_of_scope(scope: dict[str, Any]) -> User | None:
    """Return who sends an ASGI request or opens a websocket, where no middleware has run."""
    request = ASGIRequest({"method": "GET", **scope}, io.BytesIO())
    store = import_module(settings.SESSION_ENGINE).SessionStore
    request.session = store(request.COOKIES.get(settings.SESSION_COOKIE_NAME))
    request.user = get_user(request)
    return reader_of(request)
