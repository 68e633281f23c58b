"""A stream follows plain files only."""

from typing import Any

import pytest
from django.test import AsyncClient

from apps.experiments.models import Run
from apps.live import tail
from tests.intruders import INTRUDERS, Intruder, pipe, put
from tests.live.viewers import close_code, socket

pytestmark = pytest.mark.timeout(60)


@pytest.mark.parametrize("intruder", INTRUDERS)
async def test_an_event_stream_of_something_else_is_refused(
    run: Run, token: str, intruder: Intruder
) -> None:
    put(intruder, run.directory.log)
    headers: Any = {"Authorization": f"Bearer {token}"}
    response = await AsyncClient().get(f"/api/v1/runs/{run.pk}/stream", headers=headers)
    assert response.status_code == 404
    assert response["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("intruder", INTRUDERS)
async def test_a_websocket_to_something_else_is_closed(
    run: Run, cookie: bytes, intruder: Intruder
) -> None:
    put(intruder, run.directory.log)
    viewer = socket(f"/ws/runs/{run.pk}/", cookie)
    await viewer.connect()
    assert await close_code(viewer) == 4404


async def test_a_log_that_becomes_something_else_ends_its_stream(run: Run) -> None:
    async with tail.watching(run.pk, run.directory.log) as watched:
        put(pipe, run.directory.log)
        pieces = [piece async for piece in tail.follow(watched, watched.size)]
    assert pieces[-1] is not None
    assert pieces[-1].is_end
