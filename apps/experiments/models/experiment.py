"""Experiments: what is asked, and how the runs that ask it are listed."""

from django.db import models
from django.db.models import Count, F, Max, Q
from django.utils import timezone

from apps.experiments.statuses import ACTIVE_STATUSES


class ExperimentQuerySet(models.QuerySet["Experiment"]):
    def for_listing(self) -> "ExperimentQuerySet":
        """The one with the newest run first, with the figures that lists show."""
        return self.annotate(
            run_count=Count("runs"),
            active_count=Count("runs", filter=Q(runs__status__in=ACTIVE_STATUSES)),
            environment_count=Count("runs__environment", distinct=True),
            environment=Max("runs__environment"),
            evaluation_best=Max("runs__evaluation_best"),
            return_best=Max("runs__return_best"),
            last_run_at=Max("runs__created_at"),
        ).order_by(F("last_run_at").desc(nulls_last=True), "-pk")


class Experiment(models.Model):
    """One question: an environment, an algorithm, a hypothesis; with many runs."""

    name = models.CharField(max_length=120, unique=True)
    hypothesis = models.TextField(blank=True, help_text="What you expect to see, and why.")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    served_at = models.DateTimeField(
        null=True, editable=False, help_text="When a run of it last left the queue."
    )

    objects = ExperimentQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return self.name
