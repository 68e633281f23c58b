"""Server-sent events: resume, end, refusals."""

import re
import threading
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.test import AsyncClient, Client

from apps.experiments.models import Run
from apps.live import sse
from rlgym.asgi import application
from tests.live.viewers import PATIENCE_S, finish, metric, steps_of

EVENT = re.compile(rb"id: (\d+)(?:-end)?\ndata: (.*)\n\n")


class Program:
    """A client with a token."""

    def __init__(self, authorization: str) -> None:
        self._authorization = {"Authorization": authorization}

    async def get(self, path: str, query: Any = None, headers: Any = None) -> Any:
        named = {**self._authorization, **(headers or {})}
        return await AsyncClient().get(path, query, headers=named)


@pytest.fixture
def program(token: str) -> Program:
    return Program(f"Bearer {token}")


def parse(body: bytes) -> list[dict[str, Any]]:
    """Return the events of a stream as the websocket would have sent them."""
    return [{"id": int(found[0]), **orjson.loads(found[1])} for found in EVENT.findall(body)]


async def read_all(response: Any) -> bytes:
    """Read a stream until the server ends it."""
    return b"".join([chunk async for chunk in response.streaming_content])


async def test_a_finished_run_is_streamed_to_its_end(run: Run, program: Program) -> None:
    await finish(run)
    response = await program.get(f"/api/v1/runs/{run.pk}/stream")
    assert response["Content-Type"] == "text/event-stream"
    body = await read_all(response)
    assert body.startswith(b"retry: 1000\n\n")
    messages = parse(body)
    assert steps_of(messages) == [*range(10)]
    assert messages[-1]["events"] == [{"type": "end", "status": "completed"}]
    size = run.directory.log.stat().st_size
    assert messages[-1]["id"] == size
    # The reconnect that every EventSource makes is told that there is nothing more.
    path = f"/api/v1/runs/{run.pk}/stream"
    again = await program.get(path, headers={"Last-Event-ID": f"{size}-end"})
    assert again.status_code == 204


async def test_whoever_lost_the_connection_before_the_end_is_still_told_of_it(
    run: Run, program: Program
) -> None:
    await finish(run)
    size = run.directory.log.stat().st_size
    path = f"/api/v1/runs/{run.pk}/stream"
    response = await program.get(path, headers={"Last-Event-ID": str(size)})
    assert response.status_code == 200
    (message,) = parse(await read_all(response))
    assert message == {"id": size, "events": [{"type": "end", "status": "completed"}]}


async def test_an_event_id_resumes_and_wins_over_the_address(run: Run, program: Program) -> None:
    size = run.directory.log.stat().st_size
    run.directory.append(metric(10))
    await finish(run)
    path = f"/api/v1/runs/{run.pk}/stream"
    by_address = await program.get(path, {"after": size})
    assert steps_of(parse(await read_all(by_address))) == [10]
    by_header = await program.get(path, {"after": 0}, headers={"Last-Event-ID": str(size)})
    assert steps_of(parse(await read_all(by_header))) == [10]


async def test_every_event_id_resumes_without_loss_or_repetition(
    run: Run, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_BYTES", 1)  # Each stream ends after one message.
    await finish(run)
    cursor: int | str = 0
    messages, status = list[dict[str, Any]](), 200
    while status == 200:
        response = await program.get(
            f"/api/v1/runs/{run.pk}/stream", headers={"Last-Event-ID": str(cursor)}
        )
        status = response.status_code
        if status == 200:
            (message,) = parse(await read_all(response))
            messages.append(message)
            cursor = message["id"]
            if message["events"][0]["type"] == "end":
                cursor = f"{cursor}-end"
    assert status == 204
    assert steps_of(messages) == [*range(10)]


async def test_a_live_run_is_followed_as_it_writes(run: Run, program: Program) -> None:
    response = await program.get(f"/api/v1/runs/{run.pk}/stream")
    messages: list[dict[str, Any]] = []
    written = 10
    async for chunk in response.streaming_content:
        messages += parse(chunk)
        if messages and written < 13:
            run.directory.append(metric(written))
            written += 1
        elif messages:
            await finish(run)
    assert steps_of(messages) == [*range(13)]
    assert messages[-1]["events"][0]["type"] == "end"


async def test_silence_is_kept_alive(
    run: Run, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "KEEP_ALIVE_S", 0.05)
    size = run.directory.log.stat().st_size
    response = await program.get(f"/api/v1/runs/{run.pk}/stream", {"after": size})
    chunks = response.streaming_content
    assert await anext(chunks) == sse.RETRY
    assert await anext(chunks) == sse.KEEP_ALIVE
    await finish(run)
    async for _ in chunks:
        pass


async def test_a_stream_ends_after_its_time(
    run: Run, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sse, "MAX_SECONDS", 0.0)
    response = await program.get(f"/api/v1/runs/{run.pk}/stream")
    assert steps_of(parse(await read_all(response))) == [*range(10)]


async def test_a_session_may_watch(run: Run, cookie: bytes) -> None:
    await finish(run)
    client = AsyncClient()
    client.cookies["sessionid"] = cookie.decode().partition("=")[2]
    response = await client.get(f"/api/v1/runs/{run.pk}/stream")
    assert steps_of(parse(await read_all(response))) == [*range(10)]


def assert_problem(response: Any, status: int) -> None:
    assert response.status_code == status
    assert response["Content-Type"] == "application/problem+json"
    assert response.json()["status"] == status


@pytest.mark.parametrize("credential", ["", "Bearer nonsense", "Basic YTpi"])
async def test_a_stranger_is_refused_and_not_redirected(credential: str, run: Run) -> None:
    assert_problem(await Program(credential).get(f"/api/v1/runs/{run.pk}/stream"), 401)


async def test_an_unknown_run_is_a_problem(run: Run, program: Program) -> None:
    for text in ("nothing", "%00", ".."):
        assert_problem(await program.get(f"/api/v1/runs/{text}/stream"), 404)


@pytest.mark.parametrize("cursor", ["-1", "soon", "999999", "1.5"])
async def test_a_cursor_that_is_none_is_a_problem(cursor: str, run: Run, program: Program) -> None:
    path = f"/api/v1/runs/{run.pk}/stream"
    assert_problem(await program.get(path, {"after": cursor}), 422)
    assert_problem(await program.get(path, headers={"Last-Event-ID": cursor}), 422)


@pytest.mark.parametrize("method", ["post", "put", "delete", "head"])
async def test_only_get_streams(method: str, run: Run, token: str) -> None:
    client = Client(headers={"Authorization": f"Bearer {token}"})
    call = sync_to_async(getattr(client, method))
    response = await call(f"/api/v1/runs/{run.pk}/stream")
    assert response.status_code == 405
    assert response["Allow"] == "GET"


async def test_a_run_may_be_named(run: Run, program: Program) -> None:
    await finish(run)
    response = await program.get("/api/v1/runs/tiny/stream")
    assert steps_of(parse(await read_all(response))) == [*range(10)]


async def test_open_streams_share_one_thread(run: Run, token: str) -> None:
    before = {thread.name for thread in threading.enumerate()}
    scope = {
        "type": "http",
        "method": "GET",
        "path": f"/api/v1/runs/{run.pk}/stream",
        "query_string": b"",
        "headers": [(b"host", b"testserver"), (b"authorization", f"Bearer {token}".encode())],
    }
    streams = [ApplicationCommunicator(application, dict(scope)) for _ in range(8)]
    for stream in streams:
        await stream.send_input({"type": "http.request"})
        assert (await stream.receive_output(PATIENCE_S))["status"] == 200
    named = {thread.name for thread in threading.enumerate()} - before
    # Beside it the event loop's own few, which nobody holds on to.
    assert {name for name in named if not name.startswith("asyncio")} == {"streams_0"}
    for stream in streams:
        await stream.send_input({"type": "http.disconnect"})
        await stream.wait(PATIENCE_S)


async def test_events_are_never_compressed_for_they_would_wait(run: Run, program: Program) -> None:
    await finish(run)
    path = f"/api/v1/runs/{run.pk}/stream"
    response = await program.get(path, headers={"Accept-Encoding": "gzip"})
    assert not response.has_header("Content-Encoding")
    assert (await read_all(response)).startswith(b"retry: 1000\n\n")
