"""Websockets: who may watch, what is sent, how fast, and why one is closed."""

import asyncio

import pytest
from asgiref.sync import sync_to_async
from channels.testing import WebsocketCommunicator
from django.utils import timezone
from pytest_django import Settings

from apps.experiments.models import Run
from apps.live import board
from apps.live.consumers import RunConsumer, Window, _acknowledged
from tests.builders import make_run
from tests.live.viewers import close_code, finish, metric, socket, steps_of, take


async def watch(path: str, cookie: bytes) -> WebsocketCommunicator:
    """Open a websocket that is let in."""
    viewer = socket(path, cookie)
    assert (await viewer.connect(10))[0]
    return viewer


async def test_a_viewer_gets_every_event_and_then_the_end(run: Run, cookie: bytes) -> None:
    viewer = await watch(f"/ws/runs/{run.pk}/", cookie)
    first = await take(viewer)
    assert steps_of([first]) == [*range(10)]
    assert first["id"] == run.directory.log.stat().st_size
    await viewer.send_json_to({"ack": first["id"]})
    run.directory.append(metric(10))
    second = await take(viewer)
    assert steps_of([second]) == [10]
    await finish(run)
    end = await take(viewer)
    assert end == {"id": second["id"], "events": [{"type": "end", "status": "completed"}]}
    await viewer.send_json_to({"ack": end["id"]})
    assert await close_code(viewer) == 1000
    await viewer.disconnect()


async def test_after_resumes_at_a_cursor(run: Run, cookie: bytes) -> None:
    size = run.directory.log.stat().st_size
    run.directory.append(metric(10))
    viewer = await watch(f"/ws/runs/{run.pk}/?after={size}", cookie)
    assert steps_of([await take(viewer)]) == [10]
    await viewer.disconnect()


async def test_at_most_two_messages_are_on_their_way_and_the_rest_coalesces(
    run: Run, cookie: bytes
) -> None:
    viewer = await watch(f"/ws/runs/{run.pk}/", cookie)
    messages = [await take(viewer)]
    run.directory.append(metric(10))
    messages.append(await take(viewer))
    for step in range(11, 100):
        run.directory.append(metric(step))
    assert await viewer.receive_nothing(1.0)
    await viewer.send_json_to({"ack": messages[-1]["id"]})
    messages.append(await take(viewer))
    assert steps_of(messages) == [*range(100)]
    await viewer.disconnect()


async def test_an_earlier_acknowledgement_opens_the_window_by_one(run: Run, cookie: bytes) -> None:
    viewer = await watch(f"/ws/runs/{run.pk}/", cookie)
    first = await take(viewer)
    run.directory.append(metric(10))
    await take(viewer)
    run.directory.append(metric(11))
    await viewer.send_json_to({"ack": first["id"]})
    await viewer.send_json_to({"ack": first["id"]})  # Twice is fine.
    assert steps_of([await take(viewer)]) == [11]
    run.directory.append(metric(12))
    assert await viewer.receive_nothing(1.0)
    await viewer.disconnect()


async def test_a_viewer_that_never_acknowledges_is_closed(run: Run, cookie: bytes) -> None:
    viewer = await _patient_for(0.3, run, cookie)
    assert await close_code(viewer) == 4408
    await viewer.disconnect()


async def test_a_viewer_that_acknowledges_late_but_in_time_stays(run: Run, cookie: bytes) -> None:
    viewer = await _patient_for(5.0, run, cookie)
    message = await take(viewer)
    await asyncio.sleep(0.2)
    await viewer.send_json_to({"ack": message["id"]})
    run.directory.append(metric(10))
    assert steps_of([await take(viewer)]) == [10]
    await viewer.disconnect()


async def _patient_for(ack_timeout_s: float, run: Run, cookie: bytes) -> WebsocketCommunicator:
    application = RunConsumer.as_asgi(ack_timeout_s=ack_timeout_s)
    viewer = WebsocketCommunicator(application, "/", headers=[(b"cookie", cookie)])
    viewer.scope["url_route"] = {"kwargs": {"run_id": run.pk}}
    assert (await viewer.connect(10))[0]
    return viewer


@pytest.mark.parametrize(
    "text",
    [
        "hello",
        "{}",
        "[]",
        "null",
        '{"ack": "1"}',
        '{"ack": 1.5}',
        '{"ack": true}',
        '{"ack": -1}',
        '{"ack": 99999999}',
        '{"ack": 0, "x": 1}',
        '{"ack": 0' + " " * 300 + "}",
        '{"nack": 1}',
    ],
)
async def test_garbage_closes_the_socket(text: str, run: Run, cookie: bytes) -> None:
    viewer = await watch(f"/ws/runs/{run.pk}/", cookie)
    await take(viewer)
    await viewer.send_to(text_data=text)
    assert await close_code(viewer) == 4400
    await viewer.disconnect()


async def test_bytes_close_the_socket(run: Run, cookie: bytes) -> None:
    viewer = await watch(f"/ws/runs/{run.pk}/", cookie)
    await viewer.send_to(bytes_data=b'{"ack":0}')
    assert await close_code(viewer) == 4400
    await viewer.disconnect()


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("/ws/runs/nothing/", 4404),
        ("/ws/runs/{id}/?after=-1", 4422),
        ("/ws/runs/{id}/?after=999999", 4422),
        ("/ws/runs/{id}/?after=soon", 4422),
    ],
)
async def test_what_cannot_be_watched_is_closed_with_its_code(
    path: str, code: int, run: Run, cookie: bytes
) -> None:
    viewer = await watch(path.format(id=run.pk), cookie)
    assert await close_code(viewer) == code
    await viewer.disconnect()


@pytest.mark.parametrize("path", ["/ws/runs/{id}/", "/ws/dashboard/"])
async def test_a_stranger_is_closed(path: str, run: Run, cookie: bytes) -> None:
    for stranger in (b"", b"sessionid=nonsense"):
        viewer = await watch(path.format(id=run.pk), stranger)
        assert await close_code(viewer) == 4401
        await viewer.disconnect()


async def test_a_program_may_watch_with_its_token(
    run: Run, token: str, settings: Settings
) -> None:
    settings.ALLOWED_HOSTS = ["lab.example"]
    viewer = socket(f"/ws/runs/{run.pk}/", authorization=f"Bearer {token}".encode())
    assert (await viewer.connect(10))[0]
    assert steps_of([await take(viewer)]) == [*range(10)]
    await viewer.disconnect()


async def test_a_run_that_is_deleted_closes_its_viewers(run: Run, cookie: bytes) -> None:
    viewer = await watch(f"/ws/runs/{run.pk}/", cookie)
    await take(viewer)
    run.directory.path.rename(run.directory.path.with_name("gone"))
    await sync_to_async(run.delete)()
    end = await take(viewer)
    assert end["events"] == [{"type": "end", "status": "deleted"}]
    await viewer.send_json_to({"ack": end["id"]})
    assert await close_code(viewer) == 1000
    await viewer.disconnect()


# --- the dashboard


async def test_the_dashboard_shows_active_runs_and_what_changes(run: Run, cookie: bytes) -> None:
    viewer = await watch("/ws/dashboard/", cookie)
    first = await take(viewer)
    (row,) = first["runs"]
    assert row == {
        "id": run.pk,
        "name": "tiny",
        "status": "running",
        "progress": 0.0,
        "step": 0,
        "total_timesteps": 256,
        "steps_per_second": None,
        "eta_s": None,
        "return_last": None,
    }
    await viewer.send_json_to({"ack": first["id"]})
    await sync_to_async(Run.objects.filter(pk=run.pk).update)(step=128, steps_per_second=64.0)
    second = await take(viewer)
    assert second["id"] > first["id"]
    assert second["runs"][0]["progress"] == 0.5
    assert second["runs"][0]["eta_s"] == 2.0
    await viewer.disconnect()


async def test_the_dashboard_keeps_what_just_finished_and_leaves_out_the_old(
    run: Run, cookie: bytes
) -> None:
    just = await sync_to_async(make_run)(status="failed", finished_at=timezone.now())
    await sync_to_async(make_run)(status="draft")
    old = await sync_to_async(make_run)()
    await finish(old)
    viewer = await watch("/ws/dashboard/", cookie)
    shown = [row["id"] for row in (await take(viewer))["runs"]]
    assert shown == [run.pk, just.pk]
    await viewer.disconnect()


async def test_dashboards_share_one_poller(run: Run, cookie: bytes) -> None:
    viewers = [await watch("/ws/dashboard/", cookie) for _ in range(5)]
    messages = [await take(viewer) for viewer in viewers]
    assert all(message == messages[0] for message in messages)
    assert [one.viewers for one in board._boards.values()] == [5]
    for viewer in viewers:
        await viewer.disconnect()


async def test_an_empty_dashboard_says_so(cookie: bytes) -> None:
    viewer = await watch("/ws/dashboard/", cookie)
    assert (await take(viewer))["runs"] == []
    await viewer.disconnect()


# --- the window alone


async def test_the_window_closes_at_two_and_opens_by_acknowledgement() -> None:
    window = Window(timeout_s=30)
    window.sent(10)
    assert window._is_open.is_set()
    assert window.patience_s < 30
    window.sent(20)
    assert not window._is_open.is_set()
    assert window.acknowledge(20)
    assert window._is_open.is_set()
    assert window.patience_s == 30
    assert not window.acknowledge(21)


@pytest.mark.parametrize(("text", "number"), [('{"ack":0}', 0), ('{"ack": 17}', 17), (None, None)])
def test_an_acknowledgement_is_an_id(text: str | None, number: int | None) -> None:
    assert _acknowledged(text) == number
