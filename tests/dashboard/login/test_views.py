"""Logging in by name and password: who may, where it leads, how fast it may be tried."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.accounts.models import FREE_OF_PAIR

PASSWORD = "correct horse battery"
PAGES = ["/login/", "/admin/login/"]


@pytest.fixture
def ada(db: None) -> User:
    """A user who is not staff."""
    return User.objects.create_user("ada", password=PASSWORD)


def is_logged_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def test_who_is_not_staff_logs_in_and_out_by_the_page(client: Client, ada: User) -> None:
    asked = client.get("/runs/")
    assert asked["Location"] == "/login/?next=/runs/"
    page = client.get(asked["Location"])
    assert page.status_code == 200
    assert b'name="next" value="/runs/"' in page.content
    assert b"python manage.py login_link" in page.content
    done = client.post("/login/", {"username": "ada", "password": PASSWORD, "next": "/runs/"})
    assert done["Location"] == "/runs/"
    html = client.get("/runs/").content.decode()
    assert 'action="/logout/"' in html
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/")["Location"] == "/login/"
    assert not is_logged_in(client)
    assert client.post("/logout/")["Location"] == "/login/"


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize(
    "wanted",
    [
        "https://example.org/",
        "//example.org/",
        "/\\example.org",
        "///example.org",
        "javascript:1",
        "http:///example.org",
        "\\\\example.org",
        "https://testserver@example.org/",
    ],
)
def test_logging_in_leads_to_addresses_of_this_site_only(
    client: Client, ada: User, page: str, wanted: str
) -> None:
    User.objects.update(is_staff=True)
    done = client.post(page, {"username": "ada", "password": PASSWORD, "next": wanted})
    assert done.status_code == 302
    assert done["Location"] == ("/" if page == "/login/" else "/admin/")


def test_the_admin_lets_staff_in_only(client: Client, ada: User) -> None:
    assert client.get("/admin/")["Location"] == "/admin/login/?next=/admin/"
    refused = client.post("/admin/login/", {"username": "ada", "password": PASSWORD})
    assert refused.status_code == 200
    assert b"staff account" in refused.content
    assert not is_logged_in(client)
    User.objects.update(is_staff=True)
    assert (
        client.post("/admin/login/", {"username": "ada", "password": PASSWORD}).status_code == 302
    )
    assert is_logged_in(client)


@pytest.mark.parametrize("page", PAGES)
def test_wrong_passwords_are_slowed_and_the_page_says_how_long(
    client: Client, ada: User, page: str
) -> None:
    User.objects.update(is_staff=True)
    answers = [client.post(page, {"username": "ada", "password": f"guess {i}"}) for i in range(25)]
    assert [one.status_code for one in answers] == [200] * FREE_OF_PAIR + [429] * (
        25 - FREE_OF_PAIR
    )
    last = answers[-1]
    assert 1 <= int(last["Retry-After"]) <= 60
    assert f"Wait {last['Retry-After']} s" in last.content.decode()
    # The right one waits as well, whichever page it is typed into: else guessing would go on.
    for one in PAGES:
        assert client.post(one, {"username": "ada", "password": PASSWORD}).status_code == 429
    assert not is_logged_in(client)


def test_a_name_without_a_user_is_slowed_alike(client: Client, db: None) -> None:
    answers = [client.post("/login/", {"username": "bob", "password": "x"}) for _ in range(7)]
    assert [one.status_code for one in answers] == [200] * FREE_OF_PAIR + [429] * 2


def test_an_empty_form_counts_for_nothing(client: Client, ada: User) -> None:
    for _ in range(20):
        assert client.post("/login/", {"username": "ada", "password": ""}).status_code == 200
    assert client.post("/login/", {"username": "ada", "password": PASSWORD}).status_code == 302


def test_a_form_without_its_csrf_token_is_refused(ada: User) -> None:
    client = Client(enforce_csrf_checks=True)
    data = {"username": "ada", "password": PASSWORD}
    assert client.post("/login/", data).status_code == 403
    assert client.post("/logout/").status_code == 403


def test_who_is_logged_in_is_led_on_and_not_told_of_missing_rights(
    client: Client, ada: User
) -> None:
    client.force_login(ada)
    assert client.get("/login/").headers["Location"] == "/"
    assert client.get("/login/?next=/runs/").headers["Location"] == "/runs/"
    assert b"not authorized" in client.get("/admin/login/?next=/admin/").content
