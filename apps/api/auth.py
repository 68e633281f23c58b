"""Who may call an operation: whoever holds a token, or has a session and its CSRF token."""

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.http import HttpRequest
from ninja.security import APIKeyCookie, HttpBearer

from apps.accounts.authentication import bearer_user, session_user


class Bearer(HttpBearer):
    """`Authorization: Bearer rlgym_…`."""

    def authenticate(self, request: HttpRequest, token: str) -> User | None:
        return bearer_user(f"Bearer {token}")


class Session(APIKeyCookie):
    """The browser's session; writing needs the `X-CSRFToken` header as well.

    Ninja's own session class checks the CSRF token first, so nobody at all would be told 403.
    """

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> Any | None:
        if session_user(request) is None:
            return None
        return super().__call__(request)

    def authenticate(self, request: HttpRequest, key: str | None) -> User | None:
        return session_user(request)


AUTH = (Bearer(), Session())
