"""A trained model to take away: its files, and the script that loads them."""

import hashlib
from pathlib import PurePosixPath
from typing import Any

from asgiref.sync import sync_to_async
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.http import content_disposition_header
from ninja import Router

from apps.api import ranges
from apps.api.problems import responses
from apps.api.runs import find_run
from apps.api.schemas.checkpoints import DownloadOut
from apps.api.schemas.problems import Problem
from apps.api.videos import FILE_RESPONSES
from apps.experiments.models import Run
from apps.jobs.verbs import downloads

router = Router()


@router.get("/{run_id}/checkpoints/{at}", response=responses({200: DownloadOut, 409: Problem}))
def get_checkpoint(request: HttpRequest, run_id: str, at: str) -> Any:
    """Show what of a checkpoint (`last`, `best` or a step) can be downloaded."""
    run = find_run(run_id)
    found = downloads.download(run, at)
    sizes = {name: (one.size_bytes, one.sha256) for name, one in found.stored.items()}
    for name, content in found.made.items():
        sizes[name] = len(content), hashlib.sha256(content).hexdigest()
    step = found.checkpoint.step
    files = [
        {"name": name, "size_bytes": size, "sha256": sha256, "url": _url(run, step, name)}
        for name, (size, sha256) in sizes.items()
    ]
    return {"run": run.pk, "step": step, "files": files, "script": found.script}


def _url(run: Run, step: int, name: str) -> str:
    return reverse("api:checkpoint_file", args=[run.pk, str(step), name])


@router.api_operation(
    ["GET", "HEAD"],
    "/{run_id}/checkpoints/{at}/{name}",
    url_name="checkpoint_file",
    response=responses({409: Problem, 416: Problem}),
    openapi_extra=FILE_RESPONSES,
)
async def checkpoint_file(
    request: HttpRequest, run_id: str, at: str, name: str
) -> HttpResponseBase:
    """Serve one of its files as an attachment; honours Range, If-Range and If-None-Match."""
    run = await sync_to_async(find_run)(run_id)
    found = await sync_to_async(downloads.download)(run, at)
    if name in found.made:
        return _made(request, name, found.made[name])
    if name not in found.stored:
        raise Http404(f"There is no {name[:60]!r} to download; there is {', '.join(found.names)}.")
    stored = found.stored[name]
    stem = PurePosixPath(name).stem
    try:
        return await ranges.serve(request, run.directory.path, stored.path, stem, stored.sha256)
    except FileNotFoundError:
        raise Http404(f"{name} of this checkpoint is gone, or no plain file.") from None
    except ranges.Changed:
        raise downloads.exchanged(run, stored) from None


def _made(request: HttpRequest, name: str, content: bytes) -> HttpResponse:
    response = HttpResponse(
        b"" if request.method == "HEAD" else content, content_type="application/octet-stream"
    )
    response["Content-Disposition"] = content_disposition_header(True, name) or "attachment"
    response["Content-Length"] = str(len(content))
    response["X-Content-Type-Options"] = "nosniff"
    response["Cache-Control"] = "private, no-cache"
    return response
