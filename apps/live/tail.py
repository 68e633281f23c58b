"""One tail of a log per run and process, whatever the number of viewers.

While anybody watches, the log's size is asked twenty times a second and the run's row once a
second; with nobody watching nothing is polled. Viewers read from their own cursors; those in step
share one read and one encoded message. Nothing here depends on what another process sends: a
cursor outlives reconnects and restarts.
"""

import asyncio
import contextvars
import logging
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, partial
from pathlib import Path

import orjson
from channels.db import database_sync_to_async
from django.db import OperationalError
from django.utils import timezone

from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.metrics import store
from apps.rundir.plain_files import NotPlainFile, size_of, status_of

logger = logging.getLogger(__name__)

POLL_S = 0.05
POLLS_BETWEEN_ROW_CHECKS = 20
MIN_GAP_S = 0.25
IDLE_S = 15.0
# Messages stay below 64 kB with their envelope. One longer event travels alone, never cut.
MAX_PIECE_BYTES = 63_000
SHARED_PIECES = 16
# A finished run is over for its viewers when its writers have had time for their last lines.
SETTLE_TIME = timedelta(seconds=2)
DELETED = "deleted"
END_MARK = "-end"


@dataclass(frozen=True)
class Piece:
    """Some whole events of a log, encoded once for every viewer.

    Attributes:
        cursor: Byte offset after the last of them.
        events: The events as a JSON array; empty when every line was malformed.
        is_end: Whether nothing will follow.
    """

    cursor: int
    events: str
    is_end: bool = False

    @cached_property
    def message(self) -> str:
        """The websocket message."""
        return f'{{"id":{self.cursor},"events":{self.events}}}'

    @cached_property
    def server_sent(self) -> bytes:
        """The server-sent event; the end's id is marked, so that having seen it shows."""
        mark = END_MARK if self.is_end else ""
        return f'id: {self.cursor}{mark}\ndata: {{"events":{self.events}}}\n\n'.encode()


def end_of(run_id: str) -> str | None:
    """Return the final status of a run that is over for its viewers, None while more may come.

    Evaluations and films that wait or are made still write to the log, so they keep it open.
    """
    run = Run.objects.filter(pk=run_id).only("status", "finished_at").first()
    if run is None:
        return DELETED
    if run.is_active or run.status == RunStatus.DRAFT:
        return None
    if run.finished_at and timezone.now() - run.finished_at < SETTLE_TIME:
        return None
    if run.evaluations.pending().exists() or run.videos.pending().exists():
        return None
    return str(run.status)


class Tail:
    """Follows one log for all its viewers in this process."""

    def __init__(self, run_id: str, log: Path) -> None:
        self.run_id = run_id
        self.log = log
        self.size = 0
        self.ended: str | None = None
        self.viewers = 0
        self.polls = 0
        self.reads = 0
        self._news = asyncio.Event()
        self._is_ready = asyncio.Event()
        self._pieces: OrderedDict[tuple[int, int], asyncio.Task[Piece]] = OrderedDict()
        # In a context of its own: the task outlives the request of the viewer that started it.
        self._polling = asyncio.create_task(self._poll(), context=contextvars.Context())
        self._polling.add_done_callback(self._wake_all)

    def stop(self) -> None:
        """End the polling."""
        self._polling.cancel()

    async def ready(self) -> None:
        """Wait for the first look at the log."""
        await self._is_ready.wait()
        self._raise_if_broken()

    @property
    def state(self) -> tuple[int, str | None]:
        """What news change: the log's size and the final status."""
        return self.size, self.ended

    async def wait_for_news(self, seen: tuple[int, str | None], timeout_s: float) -> bool:
        """Wait until the state is another than the one seen; False when nothing happened."""
        if self.state == seen:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return False
        self._raise_if_broken()
        return True

    async def piece_after(self, cursor: int) -> Piece | None:
        """Return the next events after a cursor, None while there is no whole line."""
        if cursor >= self.size:
            return None
        # The same for all who are far behind, however the log grows meanwhile.
        key = (cursor, min(self.size, cursor + MAX_PIECE_BYTES))
        if key not in self._pieces:
            read = asyncio.to_thread(_read_piece, self.log, *key)
            self._pieces[key] = asyncio.create_task(read)
            self._pieces[key].add_done_callback(partial(self._forget_useless, key))
            self.reads += 1
            if len(self._pieces) > SHARED_PIECES:
                self._pieces.popitem(last=False)
        reading = self._pieces[key]
        # Shielded: a viewer that leaves must not cancel what others wait for.
        piece = reading.result() if reading.done() else await asyncio.shield(reading)
        return piece if piece.cursor > cursor else None

    def _forget_useless(self, key: tuple[int, int], reading: asyncio.Task[Piece]) -> None:
        """Drop what may be another when it is read again: an error, a line that is not whole."""
        if reading.cancelled() or reading.exception() or reading.result().cursor == key[0]:
            self._pieces.pop(key, None)

    def _raise_if_broken(self) -> None:
        if self._polling.done() and not self._polling.cancelled():
            self._polling.result()

    def _wake_all(self, _: asyncio.Task[None]) -> None:
        """Let viewers find out that the polling has ended."""
        self._is_ready.set()
        self._ring()

    def _ring(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _poll(self) -> None:
        while True:
            if self.polls % POLLS_BETWEEN_ROW_CHECKS == 0:
                await self._check_row()
            self._check_size()
            self.polls += 1
            self._is_ready.set()
            await asyncio.sleep(POLL_S)

    async def _check_row(self) -> None:
        try:
            ended = await database_sync_to_async(end_of, thread_sensitive=False)(self.run_id)
        except OperationalError as error:  # Busy or full: the log can be read all the same.
            logger.warning("The row of run %s could not be read: %s", self.run_id, error)
            return
        if ended != self.ended:
            self.ended = ended
            self._ring()

    def _check_size(self) -> None:
        # Asked in the event loop: a stat takes microseconds, a hop to a thread a hundred.
        size = _known_size_of(self.log)
        if size is None and self.ended is None:  # Deleted: the directory goes before the row.
            self.ended = DELETED
            self._ring()
        size = size or 0
        if size != self.size:
            self.size = size
            self._ring()


def _known_size_of(log: Path) -> int | None:
    try:
        return status_of(log).st_size
    except (FileNotFoundError, NotPlainFile):
        return None


def has_more(log: Path, cursor: int) -> bool:
    """Whether a whole line follows a cursor."""
    return store.tail(log, cursor, 1).cursor != cursor


def _read_piece(log: Path, cursor: int, end: int) -> Piece:
    found = store.tail(log, cursor, min(end - cursor, MAX_PIECE_BYTES))
    return Piece(found.cursor, orjson.dumps(found.events).decode() if found.events else "")


_tails: dict[Path, Tail] = {}


@asynccontextmanager
async def watching(run_id: str, log: Path) -> AsyncIterator[Tail]:
    """Share the tail of a run's log for the length of the block."""
    tail = _tails.get(log)
    if tail is None:
        tail = _tails[log] = Tail(run_id, log)
    tail.viewers += 1
    try:
        await tail.ready()
        yield tail
    finally:
        tail.viewers -= 1
        if tail.viewers == 0:
            tail.stop()
            if _tails.get(log) is tail:
                del _tails[log]


async def follow(
    tail: Tail, cursor: int, min_gap_s: float = MIN_GAP_S, idle_s: float = IDLE_S
) -> AsyncGenerator[Piece | None]:
    """Yield what comes after a cursor, at most one piece every `min_gap_s`, until the end.

    Whoever iterates sets the pace: what is written meanwhile comes with the next piece. None is
    yielded after `idle_s` without news. The last piece is the end.
    """
    loop = asyncio.get_running_loop()
    next_at = loop.time()
    while True:
        if (pause_s := next_at - loop.time()) > 0:
            await asyncio.sleep(pause_s)
        # Taken before the read: news that come while it reads are not slept through.
        seen = tail.state
        piece = await tail.piece_after(cursor)
        if piece is not None:
            cursor = piece.cursor
            if piece.events:
                next_at = loop.time() + min_gap_s
                yield piece
        elif (status := seen[1]) is not None:
            end = orjson.dumps([{"type": "end", "status": status}]).decode()
            yield Piece(cursor, end, is_end=True)
            return
        elif not await tail.wait_for_news(seen, idle_s):
            yield None


def parse_cursor(text: str, log: Path) -> int:
    """Read a viewer's cursor; one inside a line goes on at the next whole line.

    Raises:
        ValueError: It is no byte offset within the log; the message says what is allowed.
        NotPlainFile: A link, a pipe or a folder lies in the log's place.
    """
    size = size_of(log)
    if not (text.isascii() and text.isdecimal()) or len(text) > 18 or int(text) > size:
        raise ValueError(f"{text[:40]!r} is not a cursor of this log; it must be from 0 to {size}")
    return int(text)
