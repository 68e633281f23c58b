"""A run's events as server-sent events: what `EventSource` and `curl -N` understand."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

from channels.db import database_sync_to_async
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse

from apps.accounts.authentication import reader_of
from apps.accounts.problems import problem, unauthorized
from apps.experiments.models import Run, RunNotFound
from apps.live import tail
from apps.rundir.plain_files import NotPlainFile

# The web server keeps what a client does not read, so a stream ends here and goes on at the
# cursor with the reconnect that every EventSource makes by itself.
MAX_BYTES = 4 << 20
MAX_SECONDS = 600.0
KEEP_ALIVE_S = 15.0
RETRY = b"retry: 1000\n\n"
KEEP_ALIVE = b": keep-alive\n\n"


@login_not_required  # Programs are told 401, not sent to a form.
async def stream(request: HttpRequest, run_id: str) -> HttpResponseBase:
    """Send a run's events after `Last-Event-ID`, else `?after=`, else from its start.

    Answers 204 to whoever has seen the end: that ends an EventSource.
    """
    if request.method != "GET":
        return problem(405, "Allowed here: GET.", headers={"Allow": "GET"})
    found = await database_sync_to_async(_look_up)(request, run_id)
    if isinstance(found, HttpResponse):
        return found
    run, status = found
    asked = _asked_cursor(request)
    try:
        cursor = tail.parse_cursor(asked.removesuffix(tail.END_MARK), run.directory.log)
    except ValueError as error:
        errors = [{"field": "after", "message": str(error)}]
        return problem(422, str(error), kind="invalid", errors=errors)
    except NotPlainFile:
        return problem(404, "The log of this run is missing or damaged.", kind="damaged")
    has_seen_end = status is not None and asked.endswith(tail.END_MARK)
    if has_seen_end and not await asyncio.to_thread(tail.has_more, run.directory.log, cursor):
        return HttpResponse(status=204)
    headers = {"Cache-Control": "private, no-store", "X-Accel-Buffering": "no"}
    return StreamingHttpResponse(
        _events(run, cursor), content_type="text/event-stream", headers=headers
    )


def _look_up(request: HttpRequest, run_id: str) -> tuple[Run, str | None] | HttpResponse:
    if reader_of(request) is None:
        return unauthorized()
    try:
        run = Run.objects.defer("spec", "error").resolve(run_id.replace("\0", ""))
    except RunNotFound as error:
        return problem(404, str(error))
    return run, tail.end_of(run.pk)


def _asked_cursor(request: HttpRequest) -> str:
    # The header wins: an EventSource repeats the address it was made with when it reconnects.
    return request.headers.get("Last-Event-ID") or request.GET.get("after") or "0"


async def _events(run: Run, cursor: int) -> AsyncIterator[bytes]:
    loop = asyncio.get_running_loop()
    close_at, n_bytes = loop.time() + MAX_SECONDS, 0
    yield RETRY
    async with (
        tail.watching(run.pk, run.directory.log) as watched,
        aclosing(tail.follow(watched, cursor, idle_s=KEEP_ALIVE_S)) as pieces,
    ):
        async for piece in pieces:
            chunk = piece.server_sent if piece else KEEP_ALIVE
            yield chunk
            n_bytes += len(chunk)
            if n_bytes >= MAX_BYTES or loop.time() >= close_at:
                return
