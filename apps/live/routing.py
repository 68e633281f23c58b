"""Which consumer answers which websocket address, and from which pages; where streams run."""

import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import ThreadSensitiveContext
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.http.request import split_domain_port, validate_host
from django.urls import path, re_path

from apps.live.consumers import DashboardConsumer, RunConsumer

STREAM_PATH = re.compile(r"/api/v1/runs/[^/]+/stream")
DEFAULT_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]


class SameOrigin:
    """Lets a websocket in only from a page of this very site: scheme, host and port.

    Channels' own validator takes any port of an allowed host, and a browser sends the session's
    cookie to all of them. Origins in `CSRF_TRUSTED_ORIGINS` are let in as well.
    """

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> Any:
        application = self.application if is_same_origin(scope) else WebsocketDenier()
        return await application(scope, receive, send)


def is_same_origin(scope: dict[str, Any]) -> bool:
    """Whether a websocket was opened by a page of the host that it asks for."""
    origins, hosts = _values(scope, b"origin"), _values(scope, b"host")
    if len(origins) != 1 or len(hosts) != 1:
        return False
    origin = parse_origin(origins[0])
    if origin is None:
        return False
    if origin in {parse_origin(trusted) for trusted in settings.CSRF_TRUSTED_ORIGINS}:
        return True
    domain, _ = split_domain_port(hosts[0])
    if not domain or not validate_host(domain, settings.ALLOWED_HOSTS):
        return False
    scheme = "https" if _is_secure(scope) else "http"
    return origin == parse_origin(f"{scheme}://{hosts[0]}")


def parse_origin(text: str) -> Origin | None:
    """Return an origin's scheme, host and port, None when it is not an http origin."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in DEFAULT_PORTS or not parts.hostname or parts.username is not None:
        return None
    if parts.path or parts.query or parts.fragment:
        return None
    return parts.scheme, parts.hostname, port or DEFAULT_PORTS[parts.scheme]


def _is_secure(scope: dict[str, Any]) -> bool:
    header: tuple[str, str] | None = settings.SECURE_PROXY_SSL_HEADER
    if header is None:
        return scope.get("scheme") == "wss"
    name = header[0].removeprefix("HTTP_").replace("_", "-").lower().encode()
    return _values(scope, name) == [header[1]]


def _values(scope: dict[str, Any], name: bytes) -> list[str]:
    return [value.decode("latin-1") for key, value in scope.get("headers", []) if key == name]


class StreamsInOneThread:
    """Lets all event streams share one thread for what is not asynchronous in a request.

    Django keeps a thread for each request until its answer has been sent, and a stream's answer
    takes minutes. What streams do there, the login and a look at the run, takes milliseconds.
    """

    def __init__(self, application: Any) -> None:
        self.application = application
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="streams")

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http" and STREAM_PATH.fullmatch(scope["path"]):
            async with ThreadSensitiveContext(executor=self._thread):
                await self.application(scope, receive, send)
        else:
            await self.application(scope, receive, send)


class NoSuchAddress(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels has no types
    """Answers addresses that no consumer does, which URLRouter would raise an error for."""

    async def connect(self) -> None:
        await self.close()


websocket_application = SameOrigin(
    URLRouter(
        [
            path("ws/runs/<str:run_id>/", RunConsumer.as_asgi()),
            path("ws/dashboard/", DashboardConsumer.as_asgi()),
            re_path(r"^", NoSuchAddress.as_asgi()),
        ]
    )
)
