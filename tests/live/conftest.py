"""Logs to watch, and viewers of them."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from apps.accounts.models import ApiToken
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.live import board, tail
from apps.live.routing import websocket_application
from apps.rundir import events
from tests.conftest import make_run

HOST = b"lab.example:8000"
PATIENCE_S = 20.0


@pytest.fixture
def run(home: Path, transactional_db: None) -> Run:
    """A running run with ten events in its log."""
    made = make_run(status=RunStatus.RUNNING, owner="here:1:x")
    made.directory.append(*[metric(step) for step in range(10)])
    return made


@pytest.fixture
def user(transactional_db: None) -> User:
    return User.objects.create_user("ada")


@pytest.fixture
def token(user: User) -> str:
    return ApiToken.objects.issue(user, "tests")


@pytest.fixture
def cookie(user: User, settings: Any) -> bytes:
    """The cookie of a browser that is logged in."""
    settings.ALLOWED_HOSTS = ["lab.example", "testserver"]
    client = Client()
    client.force_login(user)
    return f"sessionid={client.cookies['sessionid'].value}".encode()


@pytest.fixture(autouse=True)
async def nothing_is_left_behind() -> AsyncIterator[None]:
    """Every test ends without a tail, a board or a task of ours."""
    before = asyncio.all_tasks()
    yield
    for _ in range(100):
        left = asyncio.all_tasks() - before - {asyncio.current_task()}
        if not left and not tail._tails and not board._boards:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"left behind: {tail._tails} {board._boards} {left}")


def metric(step: int) -> events.Event:
    """Make an event whose step says which one it is."""
    return events.metrics(step, {"train/loss": step / 2})


async def finish(run: Run, status: RunStatus = RunStatus.COMPLETED) -> None:
    """End a run a while ago, as its supervisor would have."""
    ended = Run.objects.filter(pk=run.pk).update
    ended_at = timezone.now() - timedelta(minutes=1)
    await sync_to_async(ended)(status=status, finished_at=ended_at)


def socket(
    path: str,
    cookie: bytes = b"",
    origin: bytes | None = b"http://lab.example:8000",
    authorization: bytes = b"",
) -> WebsocketCommunicator:
    """Make a browser's websocket, or a program's."""
    headers = [(b"host", HOST), (b"cookie", cookie), (b"authorization", authorization)]
    if origin is not None:
        headers.append((b"origin", origin))
    return WebsocketCommunicator(websocket_application, path, headers=headers)


async def close_code(viewer: WebsocketCommunicator) -> int:
    """Wait for the close of a websocket and return its code; skips messages."""
    while True:
        message = await viewer.receive_output(PATIENCE_S)
        if message["type"] == "websocket.close":
            return int(message["code"])


async def take(viewer: WebsocketCommunicator) -> dict[str, Any]:
    """Receive one message."""
    message = orjson.loads(await viewer.receive_from(PATIENCE_S))
    assert isinstance(message, dict)
    return message


def steps_of(messages: list[dict[str, Any]]) -> list[int]:
    """Return the steps of all metric events of messages, in order."""
    return [
        event["step"]
        for message in messages
        for event in message["events"]
        if event["type"] == "metrics"
    ]
