"""Time limits hold for requests that arrive, not for answers that last."""

import base64
import os
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.server.hasty import LIMITS_S
from tests.server.web_server import WebServer, head, read_answer

IDLE_S, HEADERS_S, BODY_S = LIMITS_S.values()
LENIENCY_S = 7.0  # Less than what parts one limit from the next.


@pytest.fixture(scope="module")
def hasty(web: WebServer) -> Iterator[WebServer]:
    """A web server whose limits in time pass in seconds."""
    server = web.another("tests.server.hasty")
    yield server
    server.stop()


def upgrade(web: WebServer, *extra: str) -> bytes:
    key = base64.b64encode(os.urandom(16)).decode()
    return head(
        "/ws/dashboard/",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
        f"Authorization: Bearer {web.token}",
        "Origin: http://localhost",
        *extra,
        method="GET",
    )


def drip(web: WebServer, first: bytes, limit_s: float) -> None:
    """Send a byte every now and then, until the server has enough of it."""
    started = time.monotonic()
    with closing(web.connect()) as connection:
        connection.sendall(first)
        connection.settimeout(0.2)
        while not has_ended(connection):
            assert time.monotonic() - started < limit_s + LENIENCY_S
    assert time.monotonic() - started > limit_s - 1


def has_ended(connection: socket.socket) -> bool:
    try:
        connection.sendall(b"x")
        return not connection.recv(65536)
    except TimeoutError:
        return False
    except ConnectionError:
        return True


def send_too_little(web: WebServer) -> None:
    with closing(web.connect()) as connection:
        connection.settimeout(BODY_S + LENIENCY_S)
        connection.sendall(head("/", "Content-Length: 100"))
        assert read_answer(connection).status == 408, "who is too slow is told why"


def watch(web: WebServer) -> None:
    with closing(web.connect()) as connection:
        connection.sendall(upgrade(web))
        assert connection.recv(65536).startswith(b"HTTP/1.1 101")
        connection.settimeout(1)
        until = time.monotonic() + IDLE_S + 2  # Later, it ends for want of an acknowledgement.
        while time.monotonic() < until:
            try:
                assert connection.recv(65536), "an open websocket has no such limit"
            except TimeoutError:
                continue


def rest_between_two_requests(web: WebServer) -> None:
    with closing(web.connect()) as connection:
        connection.sendall(head("/api/v1/health", method="GET"))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200")
        time.sleep(HEADERS_S + 3)
        connection.sendall(head("/api/v1/health", "Connection: close", method="GET"))
        assert read_answer(connection).status == 200


@pytest.mark.slow
def test_what_drips_is_cut_off_and_what_lasts_is_not(hasty: WebServer) -> None:
    # Side by side: each waits for the server's patience to end.
    with ThreadPoolExecutor() as pool:
        all_at_once = [
            pool.submit(drip, hasty, b"GET /", IDLE_S),
            pool.submit(drip, hasty, b"POST / HTTP/1.1\r\nX-Slow: ", HEADERS_S),
            pool.submit(drip, hasty, head("/", "Content-Length: 8000"), BODY_S),
            pool.submit(send_too_little, hasty),
            pool.submit(watch, hasty),
            pool.submit(rest_between_two_requests, hasty),
        ]
        time.sleep(1)
        assert (hasty.health_s() or 60) < 5, "nobody waits for them"
    for one in all_at_once:
        one.result()


def test_a_websocket_with_a_body_is_refused_like_any_other(web: WebServer) -> None:
    answer = web.ask(upgrade(web, f"Content-Length: {2 << 30}"))
    assert answer.status == 413
