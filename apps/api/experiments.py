"""Experiments: list, make, change."""

from typing import Any

from django.db.models import Count, QuerySet
from django.http import Http404, HttpRequest
from ninja import Router, Status
from ninja.params.functions import Query

from apps.api.problems import responses
from apps.api.schemas.experiments import (
    ExperimentChange,
    ExperimentIn,
    ExperimentOut,
    ExperimentPage,
)
from apps.experiments.listing.pages import Order, page
from apps.experiments.models import Experiment
from apps.jobs.verbs import records

router = Router()


def _experiments() -> QuerySet[Experiment]:
    return Experiment.objects.annotate(n_runs=Count("runs"))


@router.get("", response=responses({200: ExperimentPage}))
def list_experiments(
    request: HttpRequest,
    limit: int = Query(50, ge=1, le=200),
    cursor: str = Query("", max_length=1000, description="next_cursor of the page before."),
) -> Any:
    """List experiments, newest first."""
    newest = Order("created_at", is_descending=True)
    found = page(_experiments(), newest, limit, cursor)
    return {"experiments": found.rows, "next_cursor": found.next_cursor}


@router.post("", response=responses({201: ExperimentOut}, is_write=True))
def create_experiment(request: HttpRequest, data: ExperimentIn) -> Any:
    """Make an experiment; runs join it by its name."""
    made = records.create_experiment(data.name, data.hypothesis)
    return Status(201, _experiments().get(pk=made.pk))


@router.patch("/{int:experiment_id}", response=responses({200: ExperimentOut}, is_write=True))
def change_experiment(request: HttpRequest, experiment_id: int, data: ExperimentChange) -> Any:
    """Write down another hypothesis."""
    experiment = Experiment.objects.filter(pk=experiment_id).first()
    if experiment is None:
        raise Http404(f"There is no experiment {experiment_id}.")
    records.set_hypothesis(experiment, data.hypothesis)
    return _experiments().get(pk=experiment_id)
