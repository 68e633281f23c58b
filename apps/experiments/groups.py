"""The configurations of an experiment: runs that differ only in their seeds, taken together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Aggregate, Avg, Count, Max, Min, Q

from apps.experiments.differences import Difference, differences
from apps.experiments.models import Experiment, Run
from apps.experiments.statuses import ACTIVE_STATUSES, RunStatus
from apps.spec import early_stop
from apps.spec.seeds import NOT_CONFIGURED

MAX_GROUPS = 50


@dataclass(frozen=True, slots=True)
class Spread:
    """One figure over the runs of a group; every value is None when no run has it.

    Attributes:
        mean: Their mean.
        least: Their least.
        greatest: Their greatest.
    """

    mean: float | None
    least: float | None
    greatest: float | None


@dataclass(frozen=True, slots=True)
class Group:
    """The runs of one configuration.

    Attributes:
        algorithm: Their algorithm.
        environment: Their environment.
        differences: What they have otherwise than the first group of the same algorithm in the
            same environment.
        n_runs: How many there are.
        n_active: How many of them are queued or running.
        n_stopped_early: How many were stopped for being worse than the others.
        seed_first: Their least seed, None when no script said one.
        seed_last: Their greatest seed.
        returns: Last mean training return.
        evaluations: Last evaluation.
    """

    algorithm: str
    environment: str
    differences: list[Difference]
    n_runs: int
    n_active: int
    n_stopped_early: int
    seed_first: int | None
    seed_last: int | None
    returns: Spread
    evaluations: Spread


def groups_of(experiment: Experiment) -> list[Group]:
    """Return the newest configurations of an experiment, the newest first.

    Runs that are no seeds of their own are left out (`RunQuerySet.independent`).
    """
    rows = list(
        Run.objects.independent()
        .filter(experiment=experiment)
        .values("configuration_hash")
        .annotate(
            example=Min("pk"),
            newest_at=Max("created_at"),
            n_runs=Count("pk"),
            n_active=Count("pk", filter=Q(status__in=ACTIVE_STATUSES)),
            n_stopped_early=Count(
                "pk",
                filter=Q(status=RunStatus.STOPPED, status_reason__startswith=early_stop.REASON),
            ),
            seed_first=Min("seed"),
            seed_last=Max("seed"),
            **_spread("return_last"),
            **_spread("evaluation_last"),
        )
        .order_by("-newest_at", "-example")[:MAX_GROUPS]
    )
    examples = [row["example"] for row in rows]
    specs = dict(Run.objects.filter(pk__in=examples).values_list("pk", "spec"))
    # What the others are compared with: the oldest one of each algorithm in each environment.
    firsts = {_task(specs[example]): specs[example] for example in examples}
    return [_group(row, specs[row["example"]], firsts) for row in rows]


def _spread(column: str) -> dict[str, Aggregate]:
    functions: dict[str, type[Aggregate]] = {"mean": Avg, "least": Min, "greatest": Max}
    return {f"{column}_{name}": function(column) for name, function in functions.items()}


def _task(spec: Mapping[str, Any]) -> tuple[str, str]:
    return spec["algorithm"], spec["environment"]


def _group(
    row: Mapping[str, Any],
    spec: Mapping[str, Any],
    firsts: Mapping[tuple[str, str], Mapping[str, Any]],
) -> Group:
    algorithm, environment = _task(spec)
    others = differences(firsts[algorithm, environment], spec)
    return Group(
        algorithm=algorithm,
        environment=environment,
        differences=[one for one in others if one.label not in NOT_CONFIGURED],
        n_runs=row["n_runs"],
        n_active=row["n_active"],
        n_stopped_early=row["n_stopped_early"],
        seed_first=row["seed_first"],
        seed_last=row["seed_last"],
        returns=Spread(*(row[name] for name in _spread("return_last"))),
        evaluations=Spread(*(row[name] for name in _spread("evaluation_last"))),
    )
