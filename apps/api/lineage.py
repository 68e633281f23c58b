"""The life of a run: save, pause, resume, retry, reproduce, continue, branch, lineage."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Router, Status

from apps.api.problems import responses
from apps.api.runs import find_run
from apps.api.schemas.lineage import BranchIn, ContinueIn, Lineage
from apps.api.schemas.runs import RunDetail
from apps.experiments.differences import imported_file_name
from apps.experiments.models import Run
from apps.jobs.verbs import life, lineage
from apps.jobs.verbs.naming import Naming

router = Router()


def _made(request: HttpRequest, response: HttpResponse, run: Run) -> Any:
    response["Location"] = reverse("api:get_run", args=[run.pk])
    return Status(201, run)


@router.post("/{run_id}/save", response=responses({202: RunDetail}, is_write=True))
def save_run(request: HttpRequest, run_id: str) -> Any:
    """Ask a running run to save a checkpoint at its next rollout and go on."""
    return Status(202, life.save(find_run(run_id)))


@router.post("/{run_id}/pause", response=responses({202: RunDetail}, is_write=True))
def pause_run(request: HttpRequest, run_id: str) -> Any:
    """Ask a running run to save and leave its worker; `resume` goes on exactly there."""
    return Status(202, life.pause(find_run(run_id)))


@router.post("/{run_id}/resume", response=responses({202: RunDetail}, is_write=True))
def resume_run(request: HttpRequest, run_id: str) -> Any:
    """Queue a run that ended early; it goes on from its latest checkpoint."""
    return Status(202, lineage.resume(find_run(run_id)))


@router.post("/{run_id}/retry", response=responses({201: RunDetail}, is_write=True))
def retry_run(request: HttpRequest, response: HttpResponse, run_id: str) -> Any:
    """Queue the same spec as a new run, from its beginning."""
    return _made(request, response, lineage.retry(find_run(run_id), f"POST {request.path}"))


@router.post("/{run_id}/reproduce", response=responses({201: RunDetail}, is_write=True))
def reproduce_run(request: HttpRequest, response: HttpResponse, run_id: str) -> Any:
    """Queue the same spec as a new run, to see whether it gives the same curve."""
    return _made(request, response, lineage.reproduce(find_run(run_id), f"POST {request.path}"))


@router.post("/{run_id}/continue", response=responses({201: RunDetail}, is_write=True))
def continue_run(
    request: HttpRequest, response: HttpResponse, run_id: str, data: ContinueIn
) -> Any:
    """Queue a child that goes on from the last checkpoint for more steps."""
    child = lineage.continue_run(
        find_run(run_id), data.more_timesteps, f"POST {request.path}", data.schedules
    )
    return _made(request, response, child)


@router.post("/{run_id}/branch", response=responses({201: RunDetail}, is_write=True))
def branch_run(request: HttpRequest, response: HttpResponse, run_id: str, data: BranchIn) -> Any:
    """Queue a child that goes on from a checkpoint with another spec."""
    naming = Naming(data.name, data.experiment, f"POST {request.path}")
    child = lineage.branch(find_run(run_id), data.at, data.changes, naming, data.schedules)
    return _made(request, response, child)


@router.get("/{run_id}/lineage", response=responses({200: Lineage}))
def get_lineage(request: HttpRequest, run_id: str) -> Any:
    """Show where a run came from and what came from it."""
    run = find_run(run_id)
    children = run.children.select_related("experiment").order_by("created_at")
    file_name = imported_file_name(run.directory)
    return {"parent": run.parent, "file_name": file_name, "children": list(children)}
