"""Questions about many runs, each one query."""

from typing import TYPE_CHECKING

from django.db import models

from apps.experiments.life import ACTIVE_STATUSES, RunStatus

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

    def active(self) -> "RunQuerySet":
        """Runs that are queued or running."""
        return self.filter(status__in=ACTIVE_STATUSES)

    def next_queued(self) -> "Run | None":
        """Return the run that has waited longest, None when none waits."""
        return self.filter(status=RunStatus.QUEUED).order_by("queued_at", "pk").first()

    def resolve(self, text: str) -> "Run":
        """Find a run by id, unique prefix of an id, name, or `latest`.

        Raises:
            RunNotFound: None or several match; the message lists what does.
        """
        if text == "latest":
            matches = list(self.order_by("-created_at", "-pk")[:1])
        else:
            matches = list(self.filter(pk=text)) or list(self.filter(name=text)[:6])
            if not matches and text:
                matches = list(self.filter(pk__startswith=text)[:6])
        if len(matches) == 1:
            return matches[0]
        if not matches:
            raise RunNotFound(f"no run has the id, id prefix or name {text!r}; `runs` lists them")
        listed = ", ".join(f"{run.pk} ({run.name})" for run in matches[:5])
        raise RunNotFound(f"{text!r} matches several runs: {listed}; write one id")
