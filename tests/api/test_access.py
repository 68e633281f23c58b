"""Who may call what: walks every operation of the schema."""

import re
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.accounts.models import ApiToken
from apps.api.router import api as schema_source
from tests.api.clients import ApiClient, assert_problem


def operations() -> list[tuple[str, str]]:
    """Return every (method, address) with its parameters filled in."""
    paths = schema_source.get_openapi_schema()["paths"]
    return [
        (method, re.sub(r"{(\w*)}", lambda m: "1" if m[1].endswith("_id") else "x", path))
        for path, methods in paths.items()
        for method in methods
    ]


OPEN = {("get", "/api/v1/health")}


@pytest.mark.parametrize(("method", "path"), operations())
@pytest.mark.django_db
def test_every_operation_but_health_refuses_strangers(method: str, path: str) -> None:
    response = getattr(Client(enforce_csrf_checks=True), method)(path)
    if (method, path) in OPEN:
        assert response.status_code == 200
    elif method == "head":
        assert response.status_code == 401
    else:
        assert_problem(response, 401)
        assert response["WWW-Authenticate"] == "Bearer"


WRITES = [one for one in operations() if one[0] not in {"get", "head"}]


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_every_write_by_session_needs_its_csrf_token(method: str, path: str, user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    assert_problem(getattr(client, method)(path), 403)


def test_a_write_by_session_with_its_csrf_token_passes(home: Path, user: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    client.get("/api/v1/docs")  # The docs page is what sets the cookie here.
    csrf_token = client.cookies["csrftoken"].value
    response = client.post(
        "/api/v1/experiments",
        {"name": "Mine"},
        content_type="application/json",
        headers={"X-CSRFToken": csrf_token},
    )
    assert response.status_code == 201


def test_there_are_operations_to_walk() -> None:
    assert len(operations()) >= 28
    assert len(WRITES) >= 8


@pytest.mark.parametrize(
    "authorization", ["Bearer nonsense", "Bearer ", "Basic YTpi", "rlgym_x", "Bearer  "]
)
def test_a_wrong_credential_is_refused(authorization: str, user: User) -> None:
    client = Client(headers={"Authorization": authorization})
    assert_problem(client.get("/api/v1/runs"), 401)


def test_the_token_of_a_disabled_user_is_refused(api: ApiClient, user: User) -> None:
    assert api.get("/runs").status_code == 200
    User.objects.filter(pk=user.pk).update(is_active=False)
    assert_problem(api.get("/runs"), 401)


def test_reading_with_a_token_writes_its_use_at_most_once_a_minute(
    api: ApiClient, django_assert_num_queries: object
) -> None:
    api.get("/algorithms")
    first = ApiToken.objects.get().last_used_at
    api.get("/algorithms")
    assert ApiToken.objects.get().last_used_at == first is not None


@pytest.mark.django_db
def test_the_schema_needs_login_and_answers_programs() -> None:
    assert_problem(Client().get("/api/v1/openapi.json"), 401)


def test_the_schema_is_served_to_a_token(api: ApiClient) -> None:
    assert api.get("/openapi.json").json()["openapi"].startswith("3.")


@pytest.mark.django_db
def test_the_docs_page_sends_people_to_the_login_form() -> None:
    response = Client().get("/api/v1/docs")
    assert response.status_code == 302
    assert "login" in response["Location"]


def test_the_docs_page_asks_no_foreign_origin_and_has_no_inline_script(user: User) -> None:
    client = Client()
    client.force_login(user)
    response = client.get("/api/v1/docs")
    html = response.content.decode()
    assert response.status_code == 200
    assert not re.search(r"""(?:src|href)=["'](?:https?:)?//""", html)
    for attributes, body in re.findall(r"<script([^>]*)>(.*?)</script>", html, re.DOTALL):
        assert "application/json" in attributes or not body.strip()
    assert "default-src 'self'" in response["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/nothing", "/runs/", "/runs/x/y/z", "/videos/one", "/"])
def test_an_unknown_address_is_a_problem(path: str, api: ApiClient) -> None:
    assert_problem(api.get(path), 404)


def test_a_wrong_method_is_a_problem_that_says_which_are_right(api: ApiClient) -> None:
    response = api.send("put", "/runs", {})
    assert_problem(response, 405)
    assert set(response["Allow"].split(", ")) == {"GET", "POST"}
