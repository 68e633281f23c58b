"""Programs that speak to the API, and how it refuses."""

from typing import Any

from django.test import Client

ROOT = "/api/v1"


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
