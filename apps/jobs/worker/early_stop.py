"""Early stop: ask for the end of a run that is hopeless beside the others of its configuration.

Judged in a supervisor's beat, from summary columns alone: one query at each tenth of the run.
"""

import logging
import math
from typing import Any

from django.utils import timezone

from apps.analysis.early_stopping import MEDIAN, is_hopeless, threshold
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.metrics.summary import TENTHS, RunSummary
from apps.spec.early_stop import REASON

logger = logging.getLogger(__name__)


class Judge:
    """Judges one run at each tenth, where its spec allows it.

    A run that was stopped early once, and went on because somebody wanted it to, is left alone.
    """

    def __init__(self, run: Run, summary: RunSummary) -> None:
        self._run = run
        option = None if summary.was_stopped_early else run.spec.get("early_stop")
        self._option: dict[str, Any] = option or {}
        self._judged = len(summary.return_tenths)

    def look(self) -> None:
        """Judge the run if it has come to another tenth; called after each beat."""
        tenth = len(self._run.return_tenths)
        if not self._option or tenth <= self._judged:
            return
        self._judged = tenth
        first = math.ceil(round(self._option["after_fraction"] * TENTHS, 6))
        if first <= tenth < TENTHS:
            self._judge(tenth)

    def _judge(self, tenth: int) -> None:
        below, best = self._option["below"], self._run.return_best
        others = self._others_at(tenth) if below == MEDIAN else []
        least = threshold(below, others)
        if best is None or not is_hopeless(best, least):
            return
        what = (
            f"the median of the running means of {len(others)} others" if others else "asked for"
        )
        reason = (
            f"{REASON}its best mean return {best:.4g} is below {least:.4g}, {what}, at "
            f"{100 * tenth // TENTHS} % of the run. `resume` goes on regardless."
        )
        logger.info("run %s (%s): %s", self._run.pk, self._run.name, reason)
        # As a user would ask; whoever asked before, or took the run over, wins.
        Run.objects.filter(
            pk=self._run.pk,
            status=RunStatus.RUNNING,
            attempt=self._run.attempt,
            stop_requested_at__isnull=True,
        ).update(stop_requested_at=timezone.now(), stop_as=RunStatus.STOPPED, status_reason=reason)

    def _others_at(self, tenth: int) -> list[float]:
        """Return the running means of the other seeds that came to a tenth."""
        others = Run.objects.independent().filter(
            experiment=self._run.experiment_id, configuration_hash=self._run.configuration_hash
        )
        rows = others.exclude(pk=self._run.pk).values_list("return_tenths", flat=True)
        at_tenth = [tenths[tenth - 1] for tenths in rows if len(tenths) >= tenth]
        return [mean for mean in at_tenth if mean is not None]
