"""Clients of the API: one with a token, one with a session, one with neither."""

from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.accounts.models import ApiToken

ROOT = "/api/v1"


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


class ApiClient:
    """Sends JSON to the API and returns Django's test response."""

    def __init__(self, token: str) -> None:
        self._client = Client(
            enforce_csrf_checks=True, headers={"Authorization": f"Bearer {token}"}
        )

    def get(self, path: str, **query: Any) -> Any:
        return self._client.get(ROOT + path, query)

    def head(self, path: str, **headers: str) -> Any:
        return self._client.head(ROOT + path, headers=headers)

    def send(self, method: str, path: str, data: Any = None) -> Any:
        call = getattr(self._client, method)
        return call(ROOT + path, data if data is not None else {}, content_type="application/json")

    def post(self, path: str, data: Any = None) -> Any:
        return self.send("post", path, data)

    def patch(self, path: str, data: Any) -> Any:
        return self.send("patch", path, data)

    def delete(self, path: str) -> Any:
        return self._client.delete(ROOT + path)


def assert_problem(response: Any, status: int, **members: Any) -> dict[str, Any]:
    """Check that a response is a problem document with a status and members; return it."""
    assert response.status_code == status, response.content[:500]
    assert response["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert {"type", "title", "status", "detail"} <= problem.keys()
    assert problem["status"] == status
    for name, value in members.items():
        assert problem[name] == value
    return problem
