"""Whose turn it is in the queue.

The highest priority goes first. Among equals experiments take turns: the one with the fewest
running runs, then the one that was served longest ago; of its runs, the one that has waited
longest. So a batch of hundreds delays a single run by one, not by hundreds. The rule stands here
twice: as part of a query, for whoever takes the next run, and as a simulation, for whoever asks
how long the way is; a test compares them.
"""

import heapq
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, F, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

# Least and greatest priority of a run.
PRIORITY_BOUNDS = (-100, 100)


def first_in_turn(
    experiments: QuerySet[Any], waiting: QuerySet[Any], running: QuerySet[Any]
) -> QuerySet[Any, Any]:
    """Choose the experiment whose turn it is.

    Args:
        experiments: All of them.
        waiting: Queued runs of the highest priority.
        running: Runs that are running.

    Returns:
        One key of an experiment, for a subquery; none when nothing waits.
    """
    mine = running.filter(experiment=OuterRef("pk")).order_by().values("experiment")
    oldest = waiting.filter(experiment=OuterRef("pk")).order_by("queued_at").values("queued_at")
    return (
        experiments.filter(pk__in=waiting.order_by().values("experiment"))
        .order_by(
            Coalesce(Subquery(mine.values(count=Count("pk"))), 0),
            F("served_at").asc(nulls_first=True),
            Subquery(oldest[:1]),
            "pk",
        )
        .values("pk")[:1]
    )


@dataclass(frozen=True, slots=True, order=True)
class Waiting:
    """A queued run, in the order in which an experiment's own runs go.

    The same for jobs about runs (`plays`), whose turns go by other keys.

    Attributes:
        queued_at: When it was queued.
        run_id: Its id.
        experiment_id: Its experiment.
        priority: Its priority.
    """

    queued_at: datetime
    run_id: Any
    experiment_id: Any
    priority: int


def in_turn(
    waiting: Iterable[Waiting],
    running: Mapping[Any, int],
    served_at: Mapping[Any, datetime | None],
) -> Iterator[Any]:
    """Yield the ids of queued runs in the order in which they leave the queue.

    Nobody knows when a run will end, so none is taken to end meanwhile.

    Args:
        waiting: Queued runs in any order.
        running: Number of running runs by experiment.
        served_at: When each experiment was served last, None for never.
    """
    queues: dict[int, dict[Any, list[Waiting]]] = defaultdict(lambda: defaultdict(list))
    for run in sorted(waiting, reverse=True):
        queues[run.priority][run.experiment_id].append(run)
    busy = dict(running)
    served: dict[Any, tuple[Any, ...]] = {
        key: (1, at) if at else (0,) for key, at in served_at.items()
    }
    turn = 0
    for priority in sorted(queues, reverse=True):
        own = queues[priority]

        def rank(experiment: Any, own: Mapping[Any, list[Waiting]] = own) -> tuple[Any, ...]:
            when = served.get(experiment, (0,))
            return busy.get(experiment, 0), when, own[experiment][-1].queued_at, experiment

        heap = [rank(experiment) for experiment in own]
        heapq.heapify(heap)
        while heap:
            experiment = heapq.heappop(heap)[-1]
            yield own[experiment].pop().run_id
            turn += 1
            busy[experiment] = busy.get(experiment, 0) + 1
            served[experiment] = (2, turn)
            if own[experiment]:
                heapq.heappush(heap, rank(experiment))
