"""What one client may send: bytes a request, writes a minute."""

import re
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

from channels.db import database_sync_to_async
from django.db import OperationalError
from django.http import HttpRequest, HttpResponse
from ninja.throttling import BaseThrottle

from apps.accounts.authentication import reader_of_scope
from apps.accounts.problems import problem
from apps.foreign.archives import MAX_FILE_BYTES
from apps.foreign.videos import MAX_FILM_BYTES

MAX_BODY_BYTES = 1 << 20
# From whoever is not logged in: a form with a name and a password is far below.
MAX_STRANGER_BYTES = 8 << 10
# Where a model file may be sent, beside the fields of a form.
UPLOADS = frozenset({"/api/v1/runs/import", "/runs/new/"})
MAX_UPLOAD_BYTES = MAX_FILE_BYTES + MAX_BODY_BYTES
FILM_UPLOAD = re.compile(r"/api/v1/runs/[^/]+/videos")
WRITES_A_MINUTE = 600
BATCHES_A_MINUTE = 600
READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def max_body_bytes(
    method: str, path: str, body: int = MAX_BODY_BYTES, upload: int = MAX_UPLOAD_BYTES
) -> int:
    """Return how long a body may be that somebody who is logged in sends to an address.

    Args:
        method: HTTP method.
        path: Path of the address, percent-decoded.
        body: Limit of what is no file.
        upload: Limit of a model file; films have their own, if it is lower.
    """
    if method == "POST" and FILM_UPLOAD.fullmatch(path):
        return min(MAX_FILM_BYTES, upload)
    return upload if method == "POST" and path in UPLOADS else body


def too_long(max_bytes: int, is_stranger: bool) -> HttpResponse:
    """Refuse a body that is longer than its sender may send, and say what to do."""
    detail = f"The body is longer than {max_bytes} bytes, which is the most that is taken here"
    reason = " without a login; log in first, or check the token" if is_stranger else ""
    return problem(413, f"{detail}{reason}.", headers={"Connection": "close"})


class BodyTooLarge(Exception):
    """A request's body is longer than allowed."""


class BodyLimit:
    """An ASGI wrapper that counts a body's bytes and answers 413 beyond the limit.

    Django spools a body to disk before any view or login check runs, so this stands outside of it.
    Model files and films may be longer, where they belong and from whoever is logged in. Our own
    web server (`rlgym.server`) has refused too long a body before; another one would not.
    """

    def __init__(
        self,
        application: Any,
        max_bytes: int = MAX_BODY_BYTES,
        max_upload_bytes: int = MAX_UPLOAD_BYTES,
    ) -> None:
        self.application = application
        self.max_bytes = max_bytes
        self.max_upload_bytes = max_upload_bytes

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.application(scope, receive, send)
            return
        max_bytes = await self._limit_of(scope)
        declared = dict(scope.get("headers", [])).get(b"content-length", b"0")
        if declared.isdigit() and int(declared[:20]) > max_bytes:
            await self._refuse(send, max_bytes)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > max_bytes:
                raise BodyTooLarge
            return message

        try:
            await self.application(scope, counted, send)
        except (
            BodyTooLarge
        ):  # Django reads the whole body before it answers: nothing was sent yet.
            await self._refuse(send, max_bytes)

    async def _limit_of(self, scope: Message) -> int:
        limit = max_body_bytes(
            scope["method"], scope["path"], self.max_bytes, self.max_upload_bytes
        )
        if limit <= self.max_bytes:
            return limit
        try:
            is_known = await database_sync_to_async(reader_of_scope)(scope)
        except OperationalError:  # The view will say so, in words.
            is_known = False
        return limit if is_known else self.max_bytes

    async def _refuse(self, send: Send, max_bytes: int) -> None:
        response = too_long(max_bytes, is_stranger=False)
        headers = [(name.lower().encode(), value.encode()) for name, value in response.items()]
        headers += [(b"content-length", str(len(response.content)).encode())]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": response.content})


class WriteThrottle(BaseThrottle):
    """At most so many writes of one user in a calendar minute; guards the disk against a loop.

    Counted in this process. Ninja's own throttles keep the request's state on the shared object
    and mix up users when requests run side by side.
    """

    def __init__(self, writes_a_minute: int = WRITES_A_MINUTE) -> None:
        self.writes_a_minute = writes_a_minute
        self._lock = threading.Lock()
        self._minute = 0
        self._writes: Counter[str] = Counter()

    def counted_as(self, request: HttpRequest) -> str:
        """Return whose writes a request is counted among."""
        return str(getattr(request, "auth", ""))

    def allow_request(self, request: HttpRequest) -> bool:
        if request.method in READ_METHODS:
            return True
        minute = int(time.monotonic() // 60)
        whose = self.counted_as(request)
        with self._lock:
            if minute != self._minute:
                self._minute = minute
                self._writes.clear()
            self._writes[whose] += 1
            return self._writes[whose] <= self.writes_a_minute

    def wait(self) -> float:
        return 60 - time.monotonic() % 60


class BatchThrottle(WriteThrottle):
    """At most so many batches of one run in a minute.

    Counted apart from a user's other writes: scripts that log by the second must not take away
    the clicks of whoever they log for.
    """

    def counted_as(self, request: HttpRequest) -> str:
        match = request.resolver_match
        return str(match.kwargs.get("run_id", "")) if match else ""
