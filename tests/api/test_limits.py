"""What clients may send, and what is answered when the database or the disk cannot serve."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client, RequestFactory

from apps.api.limits import BodyLimit, WriteThrottle
from apps.api.router import api as ninja_api
from apps.errors import DiskFull, RunDirectoryBusy
from tests.api.clients import ApiClient, assert_problem


async def echo_length(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads the whole body and answers its length."""
    length, more = 0, True
    while more:
        message = await receive()
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(length).encode()})


async def post(
    chunks: list[bytes], headers: list[tuple[bytes, bytes]] | None = None, path: str = "/"
) -> list[Any]:
    """Send a body in chunks through a limit of 10 bytes, 20 for uploads; return the answer."""
    messages = [
        {"type": "http.request", "body": chunk, "more_body": index < len(chunks) - 1}
        for index, chunk in enumerate(chunks)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": path, "headers": headers or []}
    await BodyLimit(echo_length, 10, 20)(scope, receive, send)
    return sent


@pytest.mark.parametrize("chunks", [[b""], [b"x" * 10], [b"x"] * 10])
async def test_a_body_up_to_the_limit_passes(chunks: list[bytes]) -> None:
    start, body = await post(chunks)
    assert start["status"] == 200
    assert body["body"] == str(sum(map(len, chunks))).encode()


@pytest.mark.parametrize("chunks", [[b"x" * 11], [b"x"] * 11, [b"x" * 10, b"x"]])
async def test_a_longer_body_is_refused_however_it_is_cut(chunks: list[bytes]) -> None:
    start, body = await post(chunks)
    assert start["status"] == 413
    assert (b"content-type", b"application/problem+json") in start["headers"]
    assert orjson.loads(body["body"])["status"] == 413


async def test_a_declared_length_is_refused_before_the_body_is_read() -> None:
    for length in (b"11", b"9" * 100):
        start, _ = await post([], [(b"content-length", length)])
        assert start["status"] == 413


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("path", "is_known", "n_bytes", "status"),
    [
        ("/api/v1/runs/import", True, 20, 200),
        ("/api/v1/runs/import", True, 21, 413),
        ("/api/v1/runs/import", False, 11, 413),
        ("/api/v1/runs/k3v9mpt2xa/videos", True, 20, 200),
        ("/api/v1/runs/k3v9mpt2xa/videos", True, 21, 413),
        ("/api/v1/runs/k3v9mpt2xa/videos", False, 11, 413),
        ("/runs/new/", True, 20, 200),
        ("/runs/new/", False, 11, 413),
        ("/api/v1/runs", True, 11, 413),
    ],
)
async def test_only_who_is_logged_in_may_send_a_longer_file_and_only_where_it_belongs(
    path: str, is_known: bool, n_bytes: int, status: int, token: str
) -> None:
    said = f"Bearer {token}" if is_known else "Bearer rlgym_nobody"
    for headers in ([], [(b"content-length", b"%d" % n_bytes)]):
        headers = [*headers, (b"authorization", said.encode())]
        start, _ = await post([b"x" * n_bytes], headers, path)
        assert start["status"] == status


@pytest.mark.django_db(transaction=True)
async def test_a_session_is_known_before_its_body_is_read(user: User) -> None:
    client = Client()
    await sync_to_async(client.force_login)(user)
    cookie = f"sessionid={client.cookies['sessionid'].value}".encode()
    start, _ = await post([b"x" * 20], [(b"cookie", cookie)], "/runs/new/")
    assert start["status"] == 200


async def test_a_websocket_is_not_limited() -> None:
    seen = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    await BodyLimit(application)({"type": "websocket"}, None, None)  # type: ignore[arg-type]
    assert seen == ["websocket"]


def test_each_user_has_writes_of_their_own_and_reads_are_free() -> None:
    throttle = WriteThrottle(writes_a_minute=2)
    throttle._minute = -1

    def ask(method: str, user: str) -> bool:
        request = RequestFactory().generic(method, "/")
        request.auth = user  # type: ignore[attr-defined]
        return throttle.allow_request(request)

    answers = [ask("POST", "ada") for _ in range(2)]
    # A minute may end between two calls: then the count starts again.
    if throttle._writes["ada"] == 2:
        assert answers == [True, True]
        assert not ask("POST", "ada") or throttle._writes["ada"] == 1
    assert ask("POST", "bob")
    assert ask("GET", "ada")
    assert 0 < throttle.wait() <= 60


def test_too_many_writes_are_a_problem_that_says_when_to_go_on(
    api: ApiClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ninja_api.throttle, "writes_a_minute", 0)
    response = api.post("/experiments", {"name": "x"})
    assert_problem(response, 429)
    assert 1 <= int(response["Retry-After"]) <= 60
    assert api.get("/runs").status_code == 200


@pytest.mark.parametrize("error", [OperationalError("database is locked"), DiskFull("no room")])
def test_what_may_work_later_is_503_with_retry_after(error: Exception) -> None:
    response = ninja_api.on_exception(RequestFactory().get("/"), error)
    assert_problem(response_with_json(response), 503)
    assert int(response["Retry-After"]) > 0


@pytest.mark.django_db
def test_a_statement_that_can_never_work_is_no_503() -> None:
    with connection.cursor() as cursor, pytest.raises(OperationalError) as failed:
        cursor.execute("SELECT nothing FROM auth_user")
    response = ninja_api.on_exception(RequestFactory().get("/"), failed.value)
    assert_problem(response_with_json(response), 500)


@pytest.mark.django_db
def test_a_database_that_was_deleted_meanwhile_is_503() -> None:
    with connection.cursor() as cursor, pytest.raises(OperationalError) as failed:
        cursor.execute("SELECT id FROM no_table_of_ours")  # As in the empty file made instead.
    response = ninja_api.on_exception(RequestFactory().get("/"), failed.value)
    assert_problem(response_with_json(response), 503)


def test_a_locked_database_is_503(tmp_path: Path) -> None:
    path = tmp_path / "locked.sqlite3"
    with closing(sqlite3.connect(path)) as holder, closing(sqlite3.connect(path)) as other:
        holder.execute("BEGIN IMMEDIATE")
        other.execute("PRAGMA busy_timeout = 0")
        with pytest.raises(sqlite3.OperationalError) as failed:
            other.execute("BEGIN IMMEDIATE")
    error = OperationalError(str(failed.value))
    error.__cause__ = failed.value
    response = ninja_api.on_exception(RequestFactory().get("/"), error)
    assert_problem(response_with_json(response), 503)


def test_a_busy_directory_is_a_conflict() -> None:
    response = ninja_api.on_exception(RequestFactory().get("/"), RunDirectoryBusy("by process 7"))
    assert_problem(response_with_json(response), 409)


def test_a_crash_is_a_problem_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    response = ninja_api.on_exception(RequestFactory().get("/"), KeyError("secret"))
    assert "secret" not in str(assert_problem(response_with_json(response), 500))
    assert "secret" in caplog.text


def response_with_json(response: Any) -> Any:
    response.json = lambda: orjson.loads(response.content)
    return response


@pytest.mark.django_db
def test_health_needs_no_login_and_says_the_version() -> None:
    health = Client().get("/api/v1/health").json()
    assert health["status"] == "ok"
    assert health["version"].count(".") == 2
    assert health["instance"] == ""


@pytest.mark.django_db(transaction=True)
def test_health_is_503_when_the_database_does_not_answer(tmp_path: Path) -> None:
    connection.close()
    name = connection.settings_dict["NAME"]
    connection.settings_dict["NAME"] = tmp_path / "no" / "such" / "folder.sqlite3"
    try:
        response = Client().get("/api/v1/health")
    finally:
        connection.close()
        connection.settings_dict["NAME"] = name
    assert_problem(response, 503)
    assert response["Retry-After"]
