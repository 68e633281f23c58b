"""HTTP as daphne speaks it, which takes no more of a request than its sender may send.

Daphne keeps a whole body, in memory or in a temporary file, before the application is called, and
waits for it as long as a byte comes now and then. Here a body is bounded while it arrives: by its
declared length before anything of it is read, by its bytes where none is declared, and in time.
Whoever wants to send more than a form holds must be known before the rest is read.
"""

import asyncio
import tempfile
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from channels.db import database_sync_to_async
from daphne import http_protocol
from django.db import DatabaseError
from django.http import HttpResponse
from twisted.web import http

from apps.accounts.authentication import reader_of_scope
from apps.accounts.problems import problem
from apps.api.limits import MAX_STRANGER_BYTES, max_body_bytes, too_long

IN_MEMORY_BYTES = 256 << 10
# A request line and headers are there within the first, a body within as much more as it needs at
# the slowest pace that is borne with.
IDLE_S = 60
HEADERS_S = 20.0
BODY_S = 20.0
SLOWEST_BYTES_PER_S = 16 << 10
# A client that is still sending reads a refusal only if what it sends is taken for a moment.
LINGER_S = 2.0
LINGER_BYTES = 64 << 20
RETRY_S = 5
CREDENTIALS = (b"cookie", b"authorization")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Channel(http.HTTPChannel):
    """A connection whose time limits count from when it began to wait, not from the last byte."""

    def resetTimeout(self) -> None:
        """Give no more time for a byte that came: one a minute would hold a connection."""

    def timeoutConnection(self) -> None:
        """End the connection; one that is within a request is told why."""
        if self.requests:
            self.write(_encoded(problem(408, "The request did not arrive in time.")))
        super().timeoutConnection()

    def requestDone(self, request: Any) -> None:
        """Wait for the next request as long as for the first, however long the last one had."""
        self._savedTimeOut = IDLE_S
        super().requestDone(request)


class Request(http_protocol.WebRequest):
    """A request of which no more is kept than its sender may send."""

    def __init__(self, channel: Channel, *_: Any) -> None:
        # Twisted would read every form into memory, for itself.
        super().__init__(channel, parsePOSTFormSubmission=False)
        channel.setTimeout(HEADERS_S)
        self._limit = MAX_STRANGER_BYTES
        self._received = 0
        self._is_refused = False
        self._is_undecided = False
        self._expects_continue = False
        self._complete: tuple[bytes, bytes, bytes] | None = None

    def gotLength(self, length: int | None) -> None:
        """Decide by the headers; `length` is None where none is declared."""
        self.content = tempfile.SpooledTemporaryFile(IN_MEMORY_BYTES)  # noqa: SIM115 - Twisted closes it
        if length is not None and length <= MAX_STRANGER_BYTES:
            self._give_time(length)
            return
        path = unquote(self.channel._path.partition(b"?")[0].decode("ascii", "replace"))
        limit = max_body_bytes(self.channel._command.decode("ascii", "replace"), path)
        if length is not None and length > limit:
            self._refuse(too_long(limit, is_stranger=False))
        elif any(self.requestHeaders.hasHeader(name) for name in CREDENTIALS):
            self._ask_who_sends(length, limit)
        elif length is not None:
            self._refuse(too_long(MAX_STRANGER_BYTES, is_stranger=True))
        else:
            self._give_time(MAX_STRANGER_BYTES)

    def handleContentChunk(self, data: bytes) -> None:
        """Keep a piece of the body, or refuse the request for it."""
        self._received += len(data)
        if self._is_refused:
            if self._received > LINGER_BYTES:
                self.channel.transport.abortConnection()
        elif self._received > self._limit:
            self._refuse(too_long(self._limit, self._limit == MAX_STRANGER_BYTES))
        else:
            self._keep(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Hand the request on, once it is decided that it may be."""
        if self._is_undecided:
            self._complete = command, path, version
        elif not self._is_refused:
            super().requestReceived(command, path, version)

    def _keep(self, data: bytes) -> None:
        try:
            self.content.write(data)
        except OSError as error:
            detail = f"The body cannot be kept: {error.strerror}."
            self._refuse(problem(503, detail, headers={"Retry-After": str(RETRY_S)}))

    def _give_time(self, n_bytes: int) -> None:
        self.channel.setTimeout(BODY_S + n_bytes / SLOWEST_BYTES_PER_S)

    def _ask_who_sends(self, length: int | None, limit: int) -> None:
        """Read on when it is known whether the sender is: that is asked in another thread."""
        self._is_undecided = True
        self._limit = limit
        self._give_time(limit if length is None else length)
        if self.requestHeaders.hasHeader(b"expect"):
            self._expects_continue = True
            self.requestHeaders.removeHeader(b"expect")
        self.channel.transport.pauseProducing()
        headers = [
            (name, value)
            for name in CREDENTIALS
            for value in self.requestHeaders.getRawHeaders(name, [])
        ]
        scope = {"type": "http", "path": "/", "query_string": b"", "headers": headers}
        asking = asyncio.ensure_future(
            database_sync_to_async(reader_of_scope, thread_sensitive=False)(scope)
        )
        asking.add_done_callback(lambda asked: self._decide(asked, length))

    def _decide(self, asked: "asyncio.Future[Any]", length: int | None) -> None:
        self._is_undecided = False
        known_limit, self._limit = self._limit, MAX_STRANGER_BYTES
        if self.channel is None or self._disconnected or self._is_refused:
            return
        self.channel.transport.resumeProducing()
        try:
            is_known = asked.result() is not None
        except DatabaseError:
            detail = "The database cannot say who you are; try again in a moment."
            return self._refuse(problem(503, detail, headers={"Retry-After": str(RETRY_S)}))
        if is_known:
            self._limit = known_limit
        if max(length or 0, self._received) > self._limit:
            return self._refuse(too_long(self._limit, is_stranger=True))
        if self._complete is not None:
            super().requestReceived(*self._complete)
        elif self._expects_continue:
            self.channel.transport.write(CONTINUE)
        return None

    def _refuse(self, response: HttpResponse) -> None:
        """Answer, and end the connection once the client has read it or had time to."""
        self._is_refused = True
        self.requestHeaders.removeHeader(b"expect")
        self.content.close()
        transport = self.channel.transport
        transport.write(_encoded(response))
        transport.loseWriteConnection()
        self.channel.setTimeout(None)
        self.channel.callLater(LINGER_S, transport.abortConnection)


class Factory(http_protocol.HTTPFactory):
    """Makes our connections and requests in the place of daphne's."""

    protocol = Channel

    def buildProtocol(self, addr: Any) -> Channel:
        """Make what serves one connection."""
        channel: Channel = super().buildProtocol(addr)
        channel.requestFactory = Request  # type: ignore[assignment]
        channel.timeOut = IDLE_S
        return channel


def _encoded(response: HttpResponse) -> bytes:
    phrase = HTTPStatus(response.status_code).phrase
    lines = [f"HTTP/1.1 {response.status_code} {phrase}"]
    lines += [f"{name}: {value}" for name, value in response.items() if name != "Connection"]
    lines += [f"Content-Length: {len(response.content)}", "Cache-Control: private, no-store"]
    lines += ["Connection: close", "", ""]
    return "\r\n".join(lines).encode() + bytes(response.content)
