"""Viewers of logs, and the events that they wait for."""

from datetime import timedelta
from typing import Any

import orjson
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.utils import timezone

from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.live.routing import websocket_application
from apps.rundir import events

HOST = b"lab.example:8000"
PATIENCE_S = 20.0


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
