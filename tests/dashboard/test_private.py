"""What caches may keep, and which hosts are answered."""

import logging

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.accounts.models import ApiToken
from apps.experiments.models import Run

PRIVATE = "private, no-store"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/runs/",
        "/runs/new/",
        "/experiments/",
        "/videos/",
        "/runs/{run}/",
        "/runs/{run}/parts/log/",
        "/parts/active/",
        "/api/v1/docs",
        "/api/v1/openapi.json",
        "/api/v1/runs",
        "/api/v1/runs/{run}",
        "/api/v1/runs/{run}/metrics",
        "/api/v1/runs/{run}/log",
        "/api/v1/runs/nothing",
        "/api/v1/nothing",
        "/nothing/",
    ],
)
def test_what_is_private_is_kept_by_no_cache(
    reader: Client, finished: Run, admin: User, path: str
) -> None:
    token = {"Authorization": f"Bearer {ApiToken.objects.issue(admin, 'tests')}"}
    path = path.format(run=finished.pk)
    for response in (reader.get(path), Client().get(path), Client().get(path, headers=token)):
        assert response["Cache-Control"] == PRIVATE


@pytest.mark.parametrize("path", ["/admin/", "/login/", "/admin/login/", "/login/nonsense/"])
def test_pages_of_the_admin_and_of_logging_in_say_so_themselves(reader: Client, path: str) -> None:
    said = reader.get(path)["Cache-Control"]
    assert "private" in said
    assert "no-store" in said


def test_static_files_may_be_kept(client: Client) -> None:
    assert "no-store" not in client.get("/static/dashboard/rlgym.css")["Cache-Control"]


@pytest.mark.parametrize("path", ["/", "/login/", "/api/v1/health", "/static/dashboard/rlgym.css"])
@pytest.mark.parametrize(
    "host", ["evil.example", "a b", "evil\\example", "127.0.0.1.evil.example"]
)
def test_a_foreign_host_is_told_so_in_a_line_and_logged_in_one(
    client: Client, db: None, caplog: pytest.LogCaptureFixture, path: str, host: str
) -> None:
    with caplog.at_level(logging.DEBUG):
        response = client.get(path, headers={"Host": host})
    assert response.status_code == 400
    assert response["Content-Type"].startswith("text/plain")
    assert response.content.count(b"\n") == 1
    assert host.encode() not in response.content
    assert all(record.exc_info is None for record in caplog.records)
    assert len([one for one in caplog.records if one.levelno >= logging.WARNING]) == 1
