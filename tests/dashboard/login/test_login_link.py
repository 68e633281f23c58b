"""A login link works once, and leads nowhere else."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.accounts.models import LoginLink


@pytest.fixture
def link(admin: User) -> str:
    """A fresh link."""
    return f"/login/{LoginLink.objects.issue(admin)}/"


def test_a_link_logs_in_and_leads_to_the_dashboard(client: Client, link: str, admin: User) -> None:
    response = client.get(link)
    assert response["Location"] == "/"
    assert client.session["_auth_user_id"] == str(admin.pk)


def test_a_link_works_once(client: Client, link: str) -> None:
    client.get(link)
    second = Client().get(link)
    assert second.status_code == 403
    assert b"python manage.py login_link" in second.content


def test_an_expired_link_is_refused(client: Client, link: str) -> None:
    LoginLink.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(link).status_code == 403


def test_an_unknown_link_is_refused(client: Client, admin: User) -> None:
    assert client.get("/login/nonsense/").status_code == 403
    assert "_auth_user_id" not in client.session


def test_a_link_preview_does_not_use_it_up(client: Client, link: str) -> None:
    assert client.head(link).status_code == 405
    assert client.post(link).status_code == 405
    assert client.get(link).status_code == 302


@pytest.mark.parametrize(
    ("wanted", "reached"),
    [
        ("/runs/abc/?video=1", "/runs/abc/?video=1"),
        ("https://example.org/", "/"),
        ("//example.org/", "/"),
        ("/\\example.org", "/"),
        ("///example.org", "/"),
        ("javascript:alert(1)", "/"),
        ("runs/", "/"),
        ("", "/"),
    ],
)
def test_a_link_leads_to_local_addresses_only(
    client: Client, link: str, wanted: str, reached: str
) -> None:
    assert client.get(link, {"next": wanted})["Location"] == reached


def test_a_link_of_a_user_who_left_is_refused(client: Client, link: str) -> None:
    User.objects.update(is_active=False)
    assert client.get(link).status_code == 403
