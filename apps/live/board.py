"""What the dashboard shows of every active run, polled once a second for all viewers together."""

import asyncio
import contextvars
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import orjson
from channels.db import database_sync_to_async
from django.db import OperationalError
from django.db.models import Case, IntegerField, Q, Value, When
from django.utils import timezone

from apps.experiments.models import Run
from apps.experiments.statuses import ACTIVE_STATUSES, RunStatus

logger = logging.getLogger(__name__)

POLL_S = 1.0
IDLE_S = 15.0
JUST_FINISHED = timedelta(seconds=30)
MAX_RUNS = 200  # About 250 bytes each: a message stays below 64 kB.


def rows() -> list[dict[str, Any]]:
    """Return active and just-finished runs: running, then ended, then queued."""
    since = timezone.now() - JUST_FINISHED
    urgency = Case(
        When(status=RunStatus.RUNNING, then=Value(0)),
        When(status=RunStatus.QUEUED, then=Value(2)),
        default=Value(1),
        output_field=IntegerField(),
    )
    runs = Run.objects.for_listing().filter(
        Q(status__in=ACTIVE_STATUSES) | Q(finished_at__gte=since)
    )
    return [_row(run) for run in runs.order_by(urgency, "queued_at", "pk")[:MAX_RUNS]]


def _row(run: Run) -> dict[str, Any]:
    names = ("status", "progress", "step", "total_timesteps", "steps_per_second")
    return {
        "id": run.pk,
        "name": run.name,
        **{name: getattr(run, name) for name in names},
        "eta_s": run.eta_s,
        "return_last": run.return_last,
    }


class Board:
    """The latest snapshot, and a bell for whoever waits for the next."""

    def __init__(self) -> None:
        self.version = 0
        self.message = ""
        self.viewers = 0
        self._runs = ""
        self._news = asyncio.Event()
        # In a context of its own: the task outlives the viewer that started it.
        self._polling = asyncio.create_task(self._poll(), context=contextvars.Context())
        self._polling.add_done_callback(lambda _: self._ring())

    def stop(self) -> None:
        """End the polling."""
        self._polling.cancel()

    async def wait_for_news(self, seen: int, timeout_s: float) -> bool:
        """Wait for a snapshot newer than one that was seen; False when nothing happened."""
        if self.version == seen:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return False
        if self._polling.done() and not self._polling.cancelled():
            self._polling.result()
        return self.version != seen

    def _ring(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    async def _poll(self) -> None:
        while True:
            try:
                found = await database_sync_to_async(rows, thread_sensitive=False)()
            except OperationalError as error:  # Busy: the next look may have more luck.
                logger.warning("The runs could not be read: %s", error)
            else:
                runs = orjson.dumps(found).decode()
                if runs != self._runs:
                    self._runs = runs
                    self.version += 1
                    self.message = f'{{"id":{self.version},"runs":{runs}}}'
                    self._ring()
            await asyncio.sleep(POLL_S)


_boards: dict[str, Board] = {}


@asynccontextmanager
async def watching() -> AsyncIterator[Board]:
    """Share this process's board for the length of the block."""
    board = _boards.get("all") or _boards.setdefault("all", Board())
    board.viewers += 1
    try:
        yield board
    finally:
        board.viewers -= 1
        if board.viewers == 0:
            board.stop()
            _boards.pop("all", None)


async def follow(board: Board, idle_s: float = IDLE_S) -> AsyncGenerator[tuple[int, str] | None]:
    """Yield the number and the message of the latest snapshot whenever it is a new one.

    None is yielded after `idle_s` without news. Snapshots that nobody took in time are skipped:
    each says everything.
    """
    seen = 0
    while True:
        if await board.wait_for_news(seen, idle_s):
            seen = board.version
            yield seen, board.message
        else:
            yield None
