"""From which pages a websocket may be opened."""

from typing import Any

import pytest

from apps.live.routing import is_same_origin, parse_origin
from tests.live.viewers import socket


def scope(origin: str | None, host: str = "lab.example:8000", **more: Any) -> dict[str, Any]:
    headers = [(b"host", host.encode())]
    if origin is not None:
        headers.append((b"origin", origin.encode()))
    return {
        "type": "websocket",
        "scheme": "ws",
        "headers": headers + more.pop("headers", []),
        **more,
    }


@pytest.fixture(autouse=True)
def hosts(settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["lab.example", "[::1]"]


@pytest.mark.parametrize(
    ("origin", "host", "is_allowed"),
    [
        ("http://lab.example:8000", "lab.example:8000", True),
        ("http://LAB.example:8000", "lab.example:8000", True),
        ("http://lab.example", "lab.example", True),
        ("http://lab.example:80", "lab.example", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://lab.example:8001", "lab.example:8000", False),
        ("http://lab.example", "lab.example:8000", False),
        ("https://lab.example:8000", "lab.example:8000", False),
        ("http://evil.example:8000", "lab.example:8000", False),
        ("http://evil.example:8000", "evil.example:8000", False),
        ("http://lab.example.evil.example:8000", "lab.example:8000", False),
        ("http://user@lab.example:8000", "lab.example:8000", False),
        ("http://lab.example:8000/page", "lab.example:8000", False),
        ("http://lab.example:99999", "lab.example:8000", False),
        ("null", "lab.example:8000", False),
        ("", "lab.example:8000", False),
        ("file://", "lab.example:8000", False),
        ("ws://lab.example:8000", "lab.example:8000", False),
        (None, "lab.example:8000", False),
    ],
)
def test_the_origin_table(origin: str | None, host: str, is_allowed: bool) -> None:
    assert is_same_origin(scope(origin, host)) is is_allowed


def test_a_secure_page_opens_a_secure_socket_only() -> None:
    assert is_same_origin({**scope("https://lab.example", "lab.example"), "scheme": "wss"})
    assert not is_same_origin({**scope("http://lab.example", "lab.example"), "scheme": "wss"})


def test_behind_a_proxy_its_header_says_what_is_secure(settings: Any) -> None:
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    forwarded = [(b"x-forwarded-proto", b"https")]
    origin = "https://lab.example"
    assert is_same_origin(scope(origin, "lab.example", headers=forwarded))
    assert not is_same_origin(scope(origin, "lab.example"))


def test_a_trusted_origin_is_let_in(settings: Any) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://lab.example"]
    assert is_same_origin(scope("https://lab.example", "inner:8000"))


def test_two_origins_are_refused() -> None:
    twice = [(b"origin", b"http://lab.example:8000")]
    assert not is_same_origin(scope("http://lab.example:8000", headers=twice))


@pytest.mark.parametrize("text", ["http://[", "//lab", "lab:80", "javascript:alert(1)"])
def test_what_is_no_origin_is_none(text: str) -> None:
    assert parse_origin(text) is None


async def test_a_foreign_page_is_refused(transactional_db: None) -> None:
    viewer = socket("/ws/dashboard/", origin=b"http://evil.example:8000")
    assert await viewer.connect(10) == (False, 1000)
    await viewer.disconnect()


async def test_an_unknown_address_is_refused(cookie: bytes) -> None:
    for path in ("/", "/ws/", "/ws/runs/", "/ws/dashboard/x"):
        viewer = socket(path, cookie)
        assert not (await viewer.connect(10))[0]
        await viewer.disconnect()
