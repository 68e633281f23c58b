"""Every page answers, keeps its policy, and asks nothing of a foreign origin."""

import re

import pytest
from django.contrib.auth.models import User
from django.test import Client, RequestFactory
from django.urls import reverse

from apps.dashboard.broken import server_error
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from tests.builders import make_run
from tests.dashboard.reading import inline_parts

PAGES = (
    "dashboard",
    "run-list",
    "run-new",
    "experiment-list",
    "environment-list",
    "video-list",
    "admin:index",
)
PARTS = ("dashboard-active", "dashboard-recent", "dashboard-machine", "dashboard-video")
RUN_PAGES = ("run",)
RUN_PARTS = (
    "run-header",
    "run-actions",
    "run-evaluations",
    "run-video",
    "run-checkpoints",
    "run-timeline",
    "run-log",
)
ADMIN_LISTS = ("run", "experiment", "checkpoint", "evaluation", "video")


def test_the_finder_sees_what_it_must_see() -> None:
    html = '<p style="a"><script>x</script><a onclick="x" href="https://example.org/">'
    assert len(inline_parts(html)) == 4


@pytest.mark.parametrize("name", [*PAGES, *PARTS])
@pytest.mark.parametrize("is_empty", [True, False])
def test_page_answers_without_inline_code(
    reader: Client, request: pytest.FixtureRequest, name: str, is_empty: bool
) -> None:
    if not is_empty:
        request.getfixturevalue("finished")
        make_run(status=RunStatus.RUNNING, owner="host:1", name="active <b>")
    response = reader.get(reverse(name))
    assert response.status_code == (204 if is_empty and name == "dashboard-video" else 200)
    assert inline_parts(response.content.decode()) == []
    assert "<b>" not in response.content.decode()


@pytest.mark.parametrize("name", [*RUN_PAGES, *RUN_PARTS])
def test_page_of_a_run_answers_without_inline_code(
    reader: Client, finished: Run, name: str
) -> None:
    response = reader.get(reverse(name, args=[finished.pk]))
    assert response.status_code == 200
    assert inline_parts(response.content.decode()) == []


@pytest.mark.parametrize("name", ADMIN_LISTS)
def test_admin_answers_without_inline_code(reader: Client, finished: Run, name: str) -> None:
    response = reader.get(reverse(f"admin:experiments_{name}_changelist"))
    assert response.status_code == 200
    assert inline_parts(response.content.decode()) == []


def test_pages_carry_a_strict_policy(reader: Client) -> None:
    policy = reader.get("/")["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "unsafe" not in policy


@pytest.mark.parametrize("path", ["/", "/admin/", "/runs/no-such-run/"])
def test_the_map_of_the_scripts_alone_bears_the_nonce_of_the_policy(
    reader: Client, path: str
) -> None:
    response, other = reader.get(path), reader.get(path)
    html = response.content.decode()
    (nonce,) = re.findall(r"'nonce-([^']+)'", response["Content-Security-Policy"])
    assert html.count("nonce") == 1
    assert f'<script type="importmap" nonce="{nonce}">' in html
    assert nonce not in other["Content-Security-Policy"]


@pytest.mark.parametrize("path", ["/parts/active/", "/api/v1/health"])
def test_what_is_no_page_has_no_nonce(reader: Client, path: str) -> None:
    policy = reader.get(path)["Content-Security-Policy"]
    assert "script-src 'self'" in policy.split("; ")
    assert "nonce" not in policy


def test_a_page_that_could_not_be_made_says_so_without_scripts_of_ours(rf: RequestFactory) -> None:
    html = server_error(rf.get("/")).content.decode()
    assert "Something broke" in html
    assert inline_parts(html) == []
    assert "importmap" not in html
    assert 'type="module"' not in html


@pytest.mark.parametrize("name", PAGES)
def test_a_stranger_is_sent_to_the_login_page(client: Client, db: None, name: str) -> None:
    response = client.get(reverse(name))
    assert response.status_code == 302
    page = "/admin/login/" if name.startswith("admin:") else "/login/"
    assert response["Location"] == f"{page}?next={reverse(name)}"


def test_login_page_tells_how_to_get_in_without_a_password(client: Client, db: None) -> None:
    html = client.get("/admin/login/").content.decode()
    assert "python manage.py login_link" in html
    assert inline_parts(html) == []


def test_an_empty_dashboard_offers_one_thing_to_do(reader: Client) -> None:
    assert b"Train CartPole" in reader.get("/").content


def test_a_dashboard_with_runs_does_not_welcome_again(reader: Client, finished: Run) -> None:
    assert b"Train CartPole" not in reader.get("/").content


def test_the_dashboard_says_when_no_worker_is_alive(reader: Client) -> None:
    assert b"python manage.py worker" in reader.get("/").content


def test_the_latest_film_is_not_sent_twice(reader: Client, finished: Run) -> None:
    video = finished.videos.get()
    assert reader.get(reverse("dashboard-video"), {"known": video.pk}).status_code == 204
    assert f"/api/v1/videos/{video.pk}/file".encode() in reader.get("/").content


def test_experiments_of_mixed_environments_show_no_best_return(
    reader: Client, finished: Run
) -> None:
    # Alone in its cell: times of the page have such figures, too.
    assert re.search(rb">\s*21\.5\s*<", reader.get("/experiments/").content)
    make_run(environment="Acrobot-v1", return_best=-80.0)
    assert not re.search(rb">\s*21\.5\s*<", reader.get("/experiments/").content)


def test_many_waiting_runs_are_not_all_listed(reader: Client) -> None:
    for number in range(25):
        make_run(status=RunStatus.QUEUED, name=f"waits {number}")
    html = reader.get(reverse("dashboard-active")).content.decode()
    assert html.count("<li data-run") == 20
    assert "5 more" in html


def test_a_broken_page_is_a_page_of_ours(
    client: Client, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("apps.dashboard.overview.views.latest_video", broken)
    client.force_login(admin)
    client.raise_request_exception = False
    response = client.get("/")
    assert response.status_code == 500
    assert b"Something broke" in response.content
    assert inline_parts(response.content.decode()) == []


def test_an_unknown_address_shows_a_page_of_ours(reader: Client) -> None:
    response = reader.get("/runs/nosuchrun/")
    assert response.status_code == 404
    assert b"Not found" in response.content
    assert inline_parts(response.content.decode()) == []
