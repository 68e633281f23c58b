"""Websockets: a run's events, and the dashboard's rows.

The web server has no back-pressure, so each viewer acknowledges (`{"ack": id}`) and at most two
messages are on their way; what comes meanwhile waits in the log and travels with the next.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

import orjson
from channels.db import database_sync_to_async

from apps.accounts.authentication import reader_of_scope
from apps.experiments.models import Run
from apps.live import board, tail
from apps.rundir.plain_files import NotPlainFile

logger = logging.getLogger(__name__)

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

MAX_UNACKNOWLEDGED = 2
ACK_TIMEOUT_S = 30.0
MAX_INBOUND_CHARS = 200

# Close codes; docs/api.md lists them.
DONE = 1000
SERVER_FAILED = 1011
MALFORMED = 4400
NOT_LOGGED_IN = 4401
NO_SUCH_RUN = 4404
NO_ACKNOWLEDGEMENT = 4408
BAD_CURSOR = 4422


class Window:
    """The messages that are on their way to one viewer, and how long the oldest has been."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._sent_at: OrderedDict[int, float] = OrderedDict()
        self._last_sent: int | None = None
        self._is_open = asyncio.Event()
        self._is_open.set()

    @property
    def patience_s(self) -> float:
        """How long from now until an acknowledgement may be overdue; 0 or less when one is."""
        oldest = next(iter(self._sent_at.values()), None)
        if oldest is None:
            return self._timeout_s
        return oldest + self._timeout_s - asyncio.get_running_loop().time()

    async def wait_open(self) -> None:
        """Wait until another message may be sent."""
        await self._is_open.wait()

    def sent(self, message_id: int) -> None:
        """Note a message on its way."""
        self._last_sent = message_id
        self._sent_at[message_id] = asyncio.get_running_loop().time()
        self._update()

    def acknowledge(self, message_id: int) -> bool:
        """Note that a message and every earlier one arrived; one acknowledged already is fine.

        Returns:
            Whether a message of that id was sent.
        """
        if self._last_sent is None or message_id > self._last_sent:
            return False
        while self._sent_at and next(iter(self._sent_at)) <= message_id:
            self._sent_at.popitem(last=False)
        self._update()
        return True

    def _update(self) -> None:
        if len(self._sent_at) < MAX_UNACKNOWLEDGED:
            self._is_open.set()
        else:
            self._is_open.clear()


class Viewer:
    """One websocket that is sent numbered messages and acknowledges them.

    An ASGI application of its own: Channels' consumers look after the database's connections at
    every message they receive, in a thread, which took most of the time of an acknowledgement.
    A subclass says who may watch what (`prepare`) and what there is to see (`messages`).
    """

    def __init__(self, scope: Scope, send: Send, ack_timeout_s: float = ACK_TIMEOUT_S) -> None:
        self.scope = scope
        self._send = send
        self._window = Window(ack_timeout_s)

    @classmethod
    def as_asgi(cls, **options: Any) -> Any:
        """Return an ASGI application that makes a viewer of each socket."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            await cls(scope, send, **options).serve(receive)

        return application

    def prepare(self) -> int | None:
        """Get ready, with the database at hand; return the close code of a refusal."""
        return NOT_LOGGED_IN if reader_of_scope(self.scope) is None else None

    def messages(self) -> AsyncGenerator[tuple[int, str] | None]:
        """Yield ids with messages; None only lets time pass."""
        raise NotImplementedError

    async def serve(self, receive: Receive) -> None:
        """Serve the socket to its end."""
        await receive()  # It wants to connect.
        # A browser sees close codes only on a socket that was accepted.
        await self._send({"type": "websocket.accept"})
        code = await database_sync_to_async(self.prepare)()
        if code is None:
            code = await self._exchange(receive)
        if code is not None:
            await self._send({"type": "websocket.close", "code": code})

    async def _exchange(self, receive: Receive) -> int | None:
        """Send and listen until either ends; return the close code, None when they are gone."""
        listening = asyncio.create_task(self._listen(receive))
        pumping = asyncio.create_task(self._pump())
        both = {listening, pumping}
        ended: set[asyncio.Task[int | None]] = set()
        try:
            while not ended:
                patience_s = self._window.patience_s
                if patience_s <= 0:
                    return NO_ACKNOWLEDGEMENT
                ended, _ = await asyncio.wait(
                    both, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED
                )
        finally:
            for task in both:
                task.cancel()
            await asyncio.wait(both)
        # What the viewer said last explains more than what there was to send.
        first = listening if listening in ended else pumping
        if error := first.exception():
            logger.error("A live stream failed", exc_info=error)
            return SERVER_FAILED
        return first.result()

    async def _listen(self, receive: Receive) -> int | None:
        while (message := await receive())["type"] == "websocket.receive":
            message_id = _acknowledged(message.get("text"))
            if message_id is None or not self._window.acknowledge(message_id):
                return MALFORMED
        return None

    async def _pump(self) -> int | None:
        async with aclosing(self.messages()) as messages:
            async for message in messages:
                if message is not None:
                    await self._send({"type": "websocket.send", "text": message[1]})
                    self._window.sent(message[0])
                    await self._window.wait_open()
        return DONE


class RunConsumer(Viewer):
    """A run's events after `?after=`, to its end."""

    _run: Run
    _cursor = 0

    def prepare(self) -> int | None:
        if (refusal := super().prepare()) is not None:
            return refusal
        run_id = self.scope["url_route"]["kwargs"]["run_id"]
        run = Run.objects.filter(pk=run_id).only("id").first()
        if run is None:
            return NO_SUCH_RUN
        query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        try:
            self._cursor = tail.parse_cursor(query.get("after", ["0"])[-1], run.directory.log)
        except ValueError:
            return BAD_CURSOR
        except NotPlainFile:
            return NO_SUCH_RUN
        self._run = run
        return None

    async def messages(self) -> AsyncGenerator[tuple[int, str] | None]:
        async with (
            tail.watching(self._run.pk, self._run.directory.log) as watched,
            aclosing(tail.follow(watched, self._cursor)) as pieces,
        ):
            async for piece in pieces:
                yield (piece.cursor, piece.message) if piece else None


class DashboardConsumer(Viewer):
    """The rows of active and just-finished runs, whenever one changed."""

    async def messages(self) -> AsyncGenerator[tuple[int, str] | None]:
        async with (
            board.watching() as watched,
            aclosing(board.follow(watched)) as snapshots,
        ):
            async for snapshot in snapshots:
                yield snapshot


def _acknowledged(text: str | None) -> int | None:
    """Return the id of `{"ack": id}`, None when the message is anything else."""
    if text is None or len(text) > MAX_INBOUND_CHARS:
        return None
    try:
        message: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict) or [*message] != ["ack"] or type(message["ack"]) is not int:
        return None
    return message["ack"] if message["ack"] >= 0 else None
