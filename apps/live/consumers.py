"""Websockets: a run's events, and the dashboard's rows.

The web server has no back-pressure, so each viewer acknowledges (`{"ack": id}`) and at most two
messages are on their way; what comes meanwhile waits in the log and travels with the next.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qs

import orjson
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer

from apps.experiments.models import Run
from apps.live import board, tail

logger = logging.getLogger(__name__)

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


class BadAcknowledgement(Exception):
    """An acknowledgement of a message that was never sent."""


class Window:
    """The messages that are on their way to one viewer, and how long the oldest has been."""

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._sent_at: OrderedDict[int, float] = OrderedDict()
        self._last_sent: int | None = None
        self._is_open = asyncio.Event()
        self._is_open.set()
        self._deadline = asyncio.timeout(None)

    @property
    def deadline(self) -> asyncio.Timeout:
        """A context that ends with TimeoutError when an acknowledgement is overdue."""
        return self._deadline

    async def wait_open(self) -> None:
        """Wait until another message may be sent."""
        await self._is_open.wait()

    def sent(self, message_id: int) -> None:
        """Note a message on its way."""
        self._last_sent = message_id
        self._sent_at[message_id] = asyncio.get_running_loop().time()
        self._update()

    def acknowledge(self, message_id: int) -> None:
        """Note that a message and every earlier one arrived; one acknowledged already is fine.

        Raises:
            BadAcknowledgement: No message of that id was sent.
        """
        if self._last_sent is None or message_id > self._last_sent:
            raise BadAcknowledgement(message_id)
        while self._sent_at and next(iter(self._sent_at)) <= message_id:
            self._sent_at.popitem(last=False)
        self._update()

    def _update(self) -> None:
        if len(self._sent_at) < MAX_UNACKNOWLEDGED:
            self._is_open.set()
        else:
            self._is_open.clear()
        oldest = next(iter(self._sent_at.values()), None)
        if not self._deadline.expired():
            self._deadline.reschedule(None if oldest is None else oldest + self._timeout_s)


class Viewer(AsyncWebsocketConsumer):  # type: ignore[misc]  # channels carries no types
    """One websocket that is sent numbered messages and acknowledges them.

    A subclass says who may watch what (`prepare`) and what there is to see (`messages`).
    """

    def __init__(self, ack_timeout_s: float = ACK_TIMEOUT_S) -> None:
        super().__init__()
        self._ack_timeout_s = ack_timeout_s
        self._window: Window | None = None
        self._pumping: asyncio.Task[None] | None = None
        self._is_closed = False

    async def prepare(self) -> int | None:
        """Get ready; return the close code of a refusal."""
        return None

    def messages(self) -> AsyncGenerator[tuple[int, str] | None]:
        """Yield ids with messages; None only lets time pass."""
        raise NotImplementedError

    async def connect(self) -> None:
        await self.accept()  # A browser sees close codes only on a socket that was accepted.
        user = self.scope.get("user")
        code = await self.prepare() if user and user.is_authenticated else NOT_LOGGED_IN
        if code is not None:
            await self._end(code)
            return
        self._window = Window(self._ack_timeout_s)
        self._pumping = asyncio.create_task(self._pump(self._window))
        self._pumping.add_done_callback(_report_failure)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        message_id = _acknowledged(text_data)
        if self._is_closed:
            return
        try:
            if message_id is None or self._window is None:
                raise BadAcknowledgement
            self._window.acknowledge(message_id)
        except BadAcknowledgement:
            await self._stop_pumping()
            await self._end(MALFORMED)

    async def disconnect(self, code: int) -> None:
        self._is_closed = True
        await self._stop_pumping()

    async def _pump(self, window: Window) -> None:
        code: int | None = SERVER_FAILED
        try:
            async with window.deadline, aclosing(self.messages()) as messages:
                async for message in messages:
                    if message is not None:
                        await self.send(text_data=message[1])
                        window.sent(message[0])
                        await window.wait_open()
            code = DONE
        except TimeoutError:
            if not window.deadline.expired():
                raise
            code = NO_ACKNOWLEDGEMENT
        except asyncio.CancelledError:
            code = None  # Whoever cancelled says why, if the socket is still there.
            raise
        finally:
            if code is not None:
                await self._end(code)

    async def _stop_pumping(self) -> None:
        if self._pumping is not None:
            self._pumping.cancel()
            await asyncio.wait({self._pumping})

    async def _end(self, code: int) -> None:
        if not self._is_closed:
            self._is_closed = True
            await self.close(code)


class RunConsumer(Viewer):
    """A run's events after `?after=`, to its end."""

    _run: Run
    _cursor = 0

    async def prepare(self) -> int | None:
        run_id = self.scope["url_route"]["kwargs"]["run_id"]
        run = await database_sync_to_async(Run.objects.filter(pk=run_id).only("id").first)()
        if run is None:
            return NO_SUCH_RUN
        query = parse_qs(self.scope.get("query_string", b"").decode("latin-1"))
        try:
            self._cursor = tail.parse_cursor(query.get("after", ["0"])[-1], run.directory.log)
        except ValueError:
            return BAD_CURSOR
        self._run = run
        return None

    async def messages(self) -> AsyncGenerator[tuple[int, str] | None]:
        async with (
            tail.watching(self._run.pk, self._run.directory.log) as watched,
            aclosing(tail.follow(watched, self._cursor)) as pieces,
        ):
            async for piece in pieces:
                yield (piece.cursor, piece.as_message()) if piece else None


class DashboardConsumer(Viewer):
    """The rows of active and just-finished runs, whenever one changed."""

    async def messages(self) -> AsyncGenerator[tuple[int, str] | None]:
        async with (
            board.watching() as watched,
            aclosing(board.follow(watched)) as snapshots,
        ):
            async for snapshot in snapshots:
                yield snapshot


def _report_failure(pumping: asyncio.Task[None]) -> None:
    if not pumping.cancelled() and (error := pumping.exception()):
        logger.error("A live stream failed", exc_info=error)


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
