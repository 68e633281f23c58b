"""Clients of the API: one with a token, one with a session, one with neither."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User

from apps.accounts.models import ApiToken
from tests.api.clients import ApiClient


@pytest.fixture
def user(db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def token(user: User) -> str:
    return ApiToken.objects.issue(user, "tests")


@pytest.fixture
def api(home: Path, token: str) -> "ApiClient":
    """A program with a token, and a data directory of its own."""
    return ApiClient(token)
