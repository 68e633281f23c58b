"""Evaluations of checkpoints: ask for one, list them, show one, cancel one."""

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.urls import reverse
from ninja import Router, Status
from ninja.params.functions import Query

from apps.api.problems import responses
from apps.api.runs import find_run
from apps.api.schemas.evaluations import EvaluationDetail, EvaluationIn, EvaluationPage
from apps.experiments.listing.pages import Order, page
from apps.experiments.models import Evaluation, EvaluationQuerySet, Run
from apps.experiments.statuses import JobStatus
from apps.jobs.verbs import evaluations
from apps.jobs.verbs import evaluations as verbs

router = Router()
of_all_runs = Router()


def _evaluations_of(run: Run) -> EvaluationQuerySet:
    return Evaluation.objects.filter(run=run).select_related("video")


@router.post("/{run_id}/evaluations", response=responses({202: EvaluationDetail}, is_write=True))
def create_evaluation(
    request: HttpRequest, response: HttpResponse, run_id: str, data: EvaluationIn
) -> Any:
    """Queue an evaluation of a checkpoint; its address is in `Location`."""
    run = find_run(run_id)
    evaluation = evaluations.evaluate(run, data.at, data.options())
    response["Location"] = reverse("api:get_evaluation", args=[run.pk, evaluation.pk])
    return Status(202, evaluation)


@router.get("/{run_id}/evaluations", response=responses({200: EvaluationPage}))
def list_evaluations(
    request: HttpRequest,
    run_id: str,
    limit: int = Query(50, ge=1, le=200),
    cursor: str = Query("", max_length=1000),
) -> Any:
    """List a run's evaluations, newest first."""
    rows = _evaluations_of(find_run(run_id)).defer("result")
    found = page(rows, Order("created_at", is_descending=True), limit, cursor)
    return {"evaluations": found.rows, "next_cursor": found.next_cursor}


@router.get("/{run_id}/evaluations/latest", response=responses({200: EvaluationDetail}))
def latest_evaluation(request: HttpRequest, run_id: str) -> Any:
    """Show the evaluation that was completed last."""
    run = find_run(run_id)
    completed = _evaluations_of(run).filter(status=JobStatus.COMPLETED)
    evaluation = completed.order_by("-finished_at", "-pk").first()
    if evaluation is None:
        raise Http404(f"Run {run.pk} has no completed evaluation yet.")
    return evaluation


@router.get(
    "/{run_id}/evaluations/{int:evaluation_id}", response=responses({200: EvaluationDetail})
)
def get_evaluation(request: HttpRequest, run_id: str, evaluation_id: int) -> Any:
    """Show one evaluation with its result."""
    run = find_run(run_id)
    evaluation = _evaluations_of(run).filter(pk=evaluation_id).first()
    if evaluation is None:
        raise Http404(f"Run {run.pk} has no evaluation {evaluation_id}.")
    return evaluation


@of_all_runs.get("", response=responses({200: EvaluationPage}))
def list_all_evaluations(
    request: HttpRequest,
    status: str = Query("", description="One or several, by comma; queued,running: what waits."),
    run: str = Query("", description="A run's id, prefix of it, name, or latest."),
    experiment: str = Query("", description="Its name."),
    environment: str = "",
    limit: int = Query(50, ge=1, le=200),
    cursor: str = Query("", max_length=1000, description="next_cursor of the page before."),
) -> Any:
    """List the evaluations of every run, newest first."""
    rows = Evaluation.objects.with_status(status).select_related("video")
    exact = {"run__experiment__name": experiment, "run__environment": environment}
    rows = rows.filter(**{name: value for name, value in exact.items() if value})
    if run:
        rows = rows.filter(run=find_run(run))
    order = Order("created_at", is_descending=True)
    found = page(rows.defer("result"), order, limit, cursor)
    return {"evaluations": found.rows, "next_cursor": found.next_cursor}


@of_all_runs.get("/{evaluation_id}", response=responses({200: EvaluationDetail}))
def get_evaluation_by_id(request: HttpRequest, evaluation_id: str) -> Any:
    """Show one evaluation with its result, and why it waits."""
    return verbs.find_evaluation(evaluation_id)


@of_all_runs.post(
    "/{evaluation_id}/cancel", response=responses({202: EvaluationDetail}, is_write=True)
)
def cancel_evaluation(request: HttpRequest, evaluation_id: str) -> Any:
    """Cancel what is left of an evaluation: itself, or its film when its figures are there.

    A process that is at it ends within seconds, and leaves nothing behind.
    """
    return Status(202, verbs.cancel(verbs.find_evaluation(evaluation_id)))
