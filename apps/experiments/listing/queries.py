"""Questions about many runs, each one query."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Count, Subquery
from django.db.models.functions import Coalesce

from apps.experiments.statuses import ACTIVE_STATUSES, Relation, RunKind, RunStatus
from apps.experiments.turns import Waiting, first_in_turn, in_turn
from apps.text.names import LATEST, one_line

if TYPE_CHECKING:
    from apps.experiments.models import Run


class RunNotFound(Exception):
    """No run, or more than one, answers to what the user typed."""


class RunQuerySet(models.QuerySet["Run"]):
    def for_listing(self) -> "RunQuerySet":
        """Newest first, with the experiment, without the columns that lists do not show."""
        return (
            self.select_related("experiment").defer("spec", "error").order_by("-created_at", "-pk")
        )

    def independent(self) -> "RunQuerySet":
        """Runs that are seeds of their own: none that goes on from another or only repeats it."""
        dependent = (Relation.CONTINUE, Relation.BRANCH, Relation.REPRODUCE)
        return self.exclude(relation__in=dependent)

    def active(self) -> "RunQuerySet":
        """Runs that are queued or running."""
        return self.filter(status__in=ACTIVE_STATUSES)

    def that_fit(self, within: Mapping[str, int]) -> "RunQuerySet":
        """Runs that take no more than this, by the field that says how much one takes."""
        return self.filter(**{f"{field}__lte": limit for field, limit in within.items()})

    def next_queued(self) -> "Run | None":
        """Return the run whose turn it is (see `turns`), None when none waits."""
        queued = self.filter(status=RunStatus.QUEUED)
        highest = queued.order_by("-priority").values("priority")[:1]
        waiting = queued.filter(priority=Subquery(highest))
        turn = first_in_turn(self._experiments(), waiting, self.filter(status=RunStatus.RUNNING))
        return waiting.filter(experiment=Subquery(turn)).order_by("queued_at", "pk").first()

    def in_turn(self) -> list[str]:
        """Return the ids of the queued runs in the order in which they leave the queue."""
        queued = self.filter(status=RunStatus.QUEUED).order_by()
        since = Coalesce("queued_at", "created_at")
        waiting = queued.values_list(since, "pk", "experiment", "priority")
        running = self.filter(status=RunStatus.RUNNING).order_by().values("experiment")
        counts = running.annotate(count=Count("pk")).values_list("experiment", "count")
        served = self._experiments().filter(pk__in=queued.values("experiment"))
        return [
            *in_turn(
                [Waiting(*row) for row in waiting],
                dict(counts),
                dict(served.values_list("pk", "served_at")),
            )
        ]

    def running_on(self, host: str) -> "RunQuerySet":
        """Runs that a supervisor on a machine is training."""
        return self.filter(
            kind=RunKind.TRAINED, status=RunStatus.RUNNING, owner__startswith=f"{host}:"
        )

    def _experiments(self) -> models.QuerySet[Any]:
        return self.model._meta.get_field("experiment").related_model._default_manager.all()

    def resolve(self, text: str) -> "Run":
        """Find a run by id, unique prefix of an id, name, or `latest`.

        Raises:
            RunNotFound: None or several match; the message lists what does.
        """
        if text == LATEST:
            matches = list(self.order_by("-created_at", "-pk")[:1])
        else:
            matches = list(self.filter(pk=text)) or list(self.filter(name=text)[:6])
            if not matches and text:
                matches = list(self.filter(pk__startswith=text)[:6])
        if len(matches) == 1:
            return matches[0]
        if not matches:
            raise RunNotFound(f"no run has the id, id prefix or name {text!r}; `runs` lists them")
        listed = ", ".join(f"{run.pk} ({one_line(run.name)})" for run in matches[:5])
        raise RunNotFound(f"{text!r} matches several runs: {listed}; write one id")
