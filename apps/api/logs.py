"""What a run's log holds: curves, raw events, episodes, lines.

A cursor is the byte offset after a line. One inside a line goes on at the next whole line.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import orjson
from django.http import HttpRequest, HttpResponse
from ninja import Router
from ninja.params.functions import Query

from apps.analysis.axes import Axis
from apps.api.problems import refusal, responses
from apps.api.runs import find_run
from apps.api.schemas.metrics import Delta, EpisodePage, Metrics
from apps.metrics import store
from apps.rundir.events import Event
from apps.rundir.plain_files import size_of

router = Router()

MAX_DELTA_BYTES = 1 << 20
EPISODE_PIECE_BYTES = 1 << 16


@router.get("/{run_id}/metrics", response=responses({200: Metrics | Delta}))
def get_metrics(
    request: HttpRequest,
    run_id: str,
    wanted: str = Query("", alias="keys", description="Metric keys by comma; empty: all."),
    max_points: int = Query(1500, ge=4, le=20_000, description="About how many of each curve."),
    from_step: int = Query(0, ge=0, lt=2**53),
    to_step: int | None = Query(None, ge=0, lt=2**53),
    after: int | None = Query(None, ge=0, description="A cursor: return the raw events after it."),
    stitched: bool = Query(
        False, description="Begin with the curves of the runs it went on from."
    ),
    axis: Literal["step", "time", "episodes", "updates"] = Query(
        "step", description="What the points are placed and thinned by."
    ),
    smoothing: float = Query(
        0.0, ge=0, lt=1, allow_inf_nan=False, description="Weight of a moving average; 0: none."
    ),
    window: int = Query(0, ge=0, lt=2**53, description="Steps of a moving mean; 0: none."),
    superseded: bool = Query(
        False, description="Add the points that a later attempt started over."
    ),
) -> Any:
    """Return curves thinned for a chart, or with `after` every event since a cursor."""
    run = find_run(run_id)
    log = run.directory.log
    if after is not None:
        return _delta(log, after)
    if smoothing and window:
        raise refusal("window", f"{window} is not allowed beside smoothing; give one of the two")
    keys = [key.strip() for key in wanted.split(",") if key.strip()] or None
    before = [(one.directory.log, step) for one, step in run.ancestors()] if stitched else []
    found = store.series(
        log,
        keys,
        max_points,
        from_step,
        to_step,
        before,
        axis=axis,
        smoothing=store.Smoothing(smoothing, window),
        with_superseded=superseded,
    )
    curves = found.series.values()
    return _json(
        {
            "cursor": found.cursor,
            "keys": found.keys,
            "n_raw": sum(curve.n_raw for curve in curves),
            "n_sent": sum(len(curve.steps) for curve in curves),
            "downsampled": any(curve.is_downsampled for curve in curves),
            "axis": axis,
            "resumptions": found.resumptions,
            "series": {
                curve.key: {**_series(curve, axis), **_superseded(curve, axis, superseded)}
                for curve in curves
            },
        }
    )


def _series(curve: store.Series, axis: Axis) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "steps": curve.steps.astype(np.int64),
        "values": np.ascontiguousarray(curve.values),
        "times": np.ascontiguousarray(curve.times),
        "n_raw": curve.n_raw,
        "downsampled": curve.is_downsampled,
    }
    if axis != "step":
        shown["xs"] = curve.xs
    if curve.smoothed is not None:
        shown["smoothed"] = curve.smoothed
    special = {
        str(index): _special_name(float(curve.values[index]))
        for index in np.flatnonzero(~np.isfinite(curve.values))
    }
    return {**shown, "special": special} if special else shown


def _superseded(curve: store.Series, axis: Axis, is_wanted: bool) -> dict[str, Any]:
    parts = [{"attempt": number, **_series(part, axis)} for number, part in curve.superseded]
    return {"superseded": parts} if is_wanted else {}


def _special_name(value: float) -> str:
    if math.isnan(value):
        return "nan"
    return "inf" if value > 0 else "-inf"


def _json(data: Any) -> HttpResponse:
    # Straight from the arrays: validating a million numbers one by one would take a second.
    content = orjson.dumps(data, option=orjson.OPT_SERIALIZE_NUMPY)
    return HttpResponse(content, content_type="application/json; charset=utf-8")


def _delta(log: Path, after: int) -> HttpResponse:
    _check_cursor(log, after, "after")
    found = store.tail(log, after, MAX_DELTA_BYTES)
    has_more = found.cursor != after and store.tail(log, found.cursor, 1).cursor != found.cursor
    return _json({"cursor": found.cursor, "events": found.events, "has_more": has_more})


def _check_cursor(log: Path, cursor: int, name: str) -> None:
    size = size_of(log)
    if cursor > size:
        raise refusal(name, f"{cursor} is beyond the log's end; it must be from 0 to {size}")


@router.get("/{run_id}/episodes", response=responses({200: EpisodePage}))
def list_episodes(
    request: HttpRequest,
    run_id: str,
    limit: int = Query(200, ge=1, le=1000),
    cursor: str = Query("", max_length=50, description="next_cursor of the page before."),
) -> Any:
    """List training episodes in the order they ended, without those that were started over."""
    log = find_run(run_id).directory.log
    start, seen = _parse_episode_cursor(cursor)
    _check_cursor(log, start, "cursor")
    episodes: list[Event] = []
    for event, place in _visible_episodes(log, start, seen):
        if len(episodes) == limit:
            return _episode_page(episodes, place)
        episodes.append(event)
    return _episode_page(episodes, None)


def _episode_page(episodes: list[Event], next_cursor: str | None) -> HttpResponse:
    shown = [{name: one[name] for name in one if name != "type"} for one in episodes]
    return _json({"episodes": shown, "next_cursor": next_cursor})


def _visible_episodes(log: Path, start: int, seen: int) -> Iterator[tuple[Event, str]]:
    """Yield episodes from a place on, each with its place as a cursor.

    A place counts the events of a piece, superseded ones too: an attempt that begins between two
    pages moves none.
    """
    supersession = store.Supersession(log)
    while (piece := store.tail(log, start, EPISODE_PIECE_BYTES)).cursor != start:
        judged = supersession.judge(piece.events, start)
        for number, (event, is_visible) in enumerate(judged):
            if number >= seen and is_visible and event["type"] == "episode":
                yield event, f"{start}-{number}"
        start, seen = piece.cursor, 0


def _parse_episode_cursor(cursor: str) -> tuple[int, int]:
    """Read `<byte offset of a piece>-<events of it already seen>`."""
    start, dash, seen = (cursor or "0-0").partition("-")
    if not (dash and start.isdecimal() and seen.isdecimal()):
        message = f"{cursor!r} is not a cursor of this list; take next_cursor from a page"
        raise refusal("cursor", message)
    return int(start), int(seen)


@router.get(
    "/{run_id}/log",
    response=responses({200: str}),
    openapi_extra={
        "responses": {200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}
    },
)
def get_log(
    request: HttpRequest,
    run_id: str,
    tail: int = Query(100, ge=1, le=10_000, description="How many lines."),
    file: Literal["metrics", "train"] = Query(
        "metrics", description="metrics: the log of events; train: what the process printed."
    ),
) -> HttpResponse:
    """Return the last lines of a log as they are, at most 1 MiB of them."""
    directory = find_run(run_id).directory
    path = directory.train_log if file == "train" else directory.log
    lines = store.last_lines(path, tail)
    return HttpResponse(
        "".join(f"{line}\n" for line in lines), content_type="text/plain; charset=utf-8"
    )
