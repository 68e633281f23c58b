"""Runs that outside scripts log: begin one, send its rows, end it."""

from functools import partial
from typing import Any

import orjson
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Router, Status
from ninja.errors import HttpError
from ninja.params.functions import Query

from apps.accounts.problems import problem
from apps.api import logs
from apps.api.limits import BATCHES_A_MINUTE, BatchThrottle
from apps.api.problems import refusal, refused_fields, responses
from apps.api.runs import find_run
from apps.api.schemas.logged import FinishIn, LoggedRunIn, Receipt
from apps.api.schemas.runs import RunDetail
from apps.api.schemas.videos import VideoOut
from apps.foreign.rows import MAX_ROWS
from apps.jobs.verbs import logged, logged_videos
from apps.jobs.verbs.naming import Naming
from apps.spec.logged import LoggedSpec

router = Router()

ERRORS_SHOWN = 100
# Rows are checked one by one by code of ours, so their schema is told here.
BATCH = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "required": ["rows"],
                    "additionalProperties": False,
                    "properties": {
                        "rows": {
                            "type": "array",
                            "maxItems": MAX_ROWS,
                            "items": {"type": "object", "required": ["step"]},
                            "description": "Metrics, episodes and evaluations; see docs/api.md.",
                        },
                        "writer": {
                            "type": "string",
                            "pattern": "^[A-Za-z0-9_-]{1,32}$",
                            "description": "Who sends them: one name for each process.",
                        },
                        "seq": {
                            "type": "integer",
                            "minimum": 1,
                            "description": "Number of the first row among all of the writer's.",
                        },
                    },
                }
            }
        },
    }
}
FILM = {
    "requestBody": {
        "required": True,
        "content": {"video/mp4": {"schema": {"type": "string", "format": "binary"}}},
    }
}
FILM_CHUNK_BYTES = 1 << 20


@router.post("/logged", response=responses({200: RunDetail, 201: RunDetail}, is_write=True))
def begin_run(request: HttpRequest, response: HttpResponse, data: LoggedRunIn) -> Any:
    """Make a run that a script outside logs; it runs until the script says how it ended."""
    run, is_new = logged.begin(
        LoggedSpec.from_dict(data.spec()),
        Naming(data.name, data.experiment, command=f"POST {request.path}"),
        logged.Process(data.host, data.pid, data.provenance),
        data.id,
    )
    response["Location"] = reverse("api:get_run", args=[run.pk])
    return Status(201 if is_new else 200, run)


@logs.router.post(  # Where the address is read as well: one address belongs to one router.
    "/{run_id}/metrics",
    response=responses({200: Receipt}, is_write=True),
    throttle=BatchThrottle(BATCHES_A_MINUTE),
    openapi_extra=BATCH,
)
def send_rows(request: HttpRequest, run_id: str) -> Any:
    """Write rows into the log of a run, each once; an empty batch says that its script lives.

    With refused rows the answer is 422: it names them, and the receipt says what became of the
    others.
    """
    try:
        data = orjson.loads(request.body)
    except orjson.JSONDecodeError as error:
        raise HttpError(400, "malformed") from error
    receipt = logged.take(find_run(run_id), data)
    shown = {
        "taken": receipt.n_taken,
        "repeated": receipt.n_repeated,
        "refused": len(receipt.errors),
        "backward": receipt.n_backward,
        "stop": receipt.stop or None,
    }
    if not receipt.errors:
        return shown
    first = receipt.errors[0]
    errors = refused_fields(receipt.errors[:ERRORS_SHOWN])
    detail = (
        f"{len(receipt.errors)} of the rows are refused, the others are in the log; the first "
        f"is row {first.row}: {first.field}: {first.message}"
    )
    return problem(422, detail, kind="invalid", errors=errors, receipt=shown)


@router.post("/{run_id}/finish", response=responses({200: RunDetail}, is_write=True))
def finish_run(request: HttpRequest, run_id: str, data: FinishIn) -> Any:
    """End a run that a script outside logs, as the script says; said again, nothing changes."""
    return logged.finish(find_run(run_id), data.status, data.reason, data.error)


@router.post(
    "/{run_id}/videos",
    response=responses({200: VideoOut, 201: VideoOut}, is_write=True),
    openapi_extra=FILM,
)
def send_film(
    request: HttpRequest,
    response: HttpResponse,
    run_id: str,
    step: int = Query(..., ge=0, description="What its agent had learned by then."),
) -> Any:
    """Keep a film of a run that a script outside logs: an MP4 of at most 64 MiB."""
    if request.content_type != "video/mp4":
        raise refusal("Content-Type", f"{request.content_type!r} is not allowed; send video/mp4")
    chunks = iter(partial(request.read, FILM_CHUNK_BYTES), b"")
    video, is_new = logged_videos.add_film(find_run(run_id), step, chunks)
    response["Location"] = reverse("api:get_video", args=[video.pk])
    return Status(201 if is_new else 200, video)
