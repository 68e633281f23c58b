"""Runs: list, make, show, rename, start, stop, delete, restore."""

import os
from pathlib import Path
from typing import Any, Literal, cast

from django.core.files.uploadedfile import TemporaryUploadedFile
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import File, Router, Status, UploadedFile
from ninja.params.functions import Query

from apps.api.problems import responses
from apps.api.schemas.checkpoints import Checkpoints
from apps.api.schemas.runs import Config, RunChange, RunDetail, RunIn, RunPage, RunsMade
from apps.errors import InvalidSpec
from apps.experiments.listing.filters import RunFilter
from apps.experiments.listing.pages import Order, page
from apps.experiments.listing.sorting import NEWEST_FIRST, SORTS
from apps.experiments.models import Run
from apps.jobs.verbs import batches, life, records, weights
from apps.jobs.verbs.naming import Naming
from apps.jobs.verbs.weights import Start
from apps.rundir.files import read_json
from apps.spec.seeds import with_seeds

router = Router()


def find_run(text: str) -> Run:
    """Return the run of an id, a unique prefix of one, a name, or `latest`.

    Raises:
        RunNotFound: None or several match.
    """
    return Run.objects.select_related("experiment").resolve(text.replace("\0", ""))


@router.get("", response=responses({200: RunPage}))
def list_runs(
    request: HttpRequest,
    status: str = Query("", description="One or several, by comma."),
    kind: Literal["", "trained", "logged"] = Query("", description="Who does its work."),
    algorithm: str = "",
    environment: str = "",
    experiment: str = Query("", description="Its name."),
    search: str = Query("", description="Part of a name, environment or experiment, or of an id."),
    created_from: str = Query("", description="A day, or a time; in UTC without a zone."),
    created_to: str = Query("", description="Likewise; a day counts whole."),
    order: str = Query(
        NEWEST_FIRST,
        description=f"With a leading - for greatest first; one of {', '.join(SORTS)}.",
    ),
    limit: int = Query(50, ge=1, le=200),
    cursor: str = Query("", max_length=1000, description="next_cursor of the page before."),
) -> Any:
    """List runs by page; reads summary columns only."""
    wanted, errors = RunFilter.read(
        {
            "status": status,
            "kind": kind,
            "algorithm": algorithm,
            "environment": environment,
            "experiment": experiment,
            "search": search,
            "created_from": created_from,
            "created_to": created_to,
        }
    )
    if errors:
        raise InvalidSpec(errors)
    runs = wanted.apply(Run.objects.for_listing())
    found = page(runs, Order.parse(order, SORTS), limit, cursor)
    return {"runs": found.rows, "next_cursor": found.next_cursor}


@router.post("", response=responses({201: RunDetail | RunsMade}, is_write=True))
def create_run(request: HttpRequest, response: HttpResponse, data: RunIn) -> Any:
    """Make a run from a spec, or one for each of `seeds`; unless `start` is false, queue them."""
    return _make(request, response, data, weights.given(data.init))


@router.post("/import", response=responses({201: RunDetail | RunsMade}, is_write=True))
def import_run(
    request: HttpRequest, response: HttpResponse, spec: RunIn, file: File[UploadedFile]
) -> Any:
    """Make a run that starts from the weights of a Stable-Baselines3 zip; see `POST /runs`.

    The upload is multipart: `file`, and `spec` as JSON. Nothing in the file is unpickled.
    """
    path = Path(cast(TemporaryUploadedFile, file).temporary_file_path())
    return _make(request, response, spec, weights.given(spec.init, path, str(file.name)))


def _make(request: HttpRequest, response: HttpResponse, data: RunIn, start: Start | None) -> Any:
    spec = weights.check_spec(data.spec(), start)
    priority = 0 if data.priority is None else life.check_priority(data.priority)
    naming = Naming(data.name, data.experiment, f"POST {request.path}", priority)
    origin = start.origin if start else None
    if data.seeds is not None:
        runs = batches.launch_all(with_seeds(spec, data.seeds), naming, data.start, origin)
        return Status(201, {"runs": runs})
    (run,) = batches.launch_all([spec], naming, data.start, origin)
    response["Location"] = reverse("api:get_run", args=[run.pk])
    return Status(201, run)


@router.get("/{run_id}", response=responses({200: RunDetail}))
def get_run(request: HttpRequest, run_id: str) -> Any:
    """Show a run by its id, a unique prefix of it, its name, or `latest`."""
    return find_run(run_id)


@router.patch("/{run_id}", response=responses({200: RunDetail}, is_write=True))
def change_run(request: HttpRequest, run_id: str, data: RunChange) -> Any:
    """Give a run another name, and one that waits another priority."""
    run = find_run(run_id)
    if data.priority is not None:  # First: it may be refused, a name that came so far is not.
        run = life.set_priority(run, data.priority)
    return run if data.name is None else records.rename(run, data.name)


@router.delete("/{run_id}", response=responses({204: None}, is_write=True))
def delete_run(request: HttpRequest, run_id: str) -> Any:
    """Move a run to the trash; `restore` undoes it."""
    records.delete(find_run(run_id))
    return Status(204, None)


@router.post("/{run_id}/restore", response=responses({200: RunDetail}, is_write=True))
def restore_run(request: HttpRequest, run_id: str) -> Any:
    """Bring a deleted run back from the trash; takes its whole id."""
    return records.restore(run_id)


@router.post("/{run_id}/start", response=responses({202: RunDetail}, is_write=True))
def start_run(request: HttpRequest, run_id: str) -> Any:
    """Queue a draft."""
    return Status(202, life.queue(find_run(run_id)))


@router.post("/{run_id}/stop", response=responses({202: RunDetail}, is_write=True))
def stop_run(request: HttpRequest, run_id: str) -> Any:
    """Stop a queued run at once; ask a running one to checkpoint and end."""
    return Status(202, life.stop(find_run(run_id)))


@router.get("/{run_id}/config", response=responses({200: Config}))
def get_config(request: HttpRequest, run_id: str) -> Any:
    """Show the resolved spec, and where and with what it ran."""
    directory = find_run(run_id).directory
    has_run = os.path.lexists(directory.provenance)  # A link is not passed over: it is refused.
    return {
        "spec": read_json(directory.spec),
        "provenance": read_json(directory.provenance) if has_run else None,
    }


@router.get("/{run_id}/checkpoints", response=responses({200: Checkpoints}))
def list_checkpoints(request: HttpRequest, run_id: str) -> Any:
    """List a run's checkpoints by step."""
    return {"checkpoints": list(find_run(run_id).checkpoints.order_by("step"))}
