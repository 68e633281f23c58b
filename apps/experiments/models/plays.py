"""What evaluations and films have in common: each is a job that a worker takes from a queue.

`queued -> running -> completed | failed | cancelled`, each step one compare-and-set. Whose turn it
is follows the rule of runs (`turns`), on two levels: experiments take turns, and of each one its
runs. So a run with thirty evaluations delays another's first by one, not by thirty.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, TypeVar

from django.db import models
from django.db.models import F, Max
from django.utils import timezone

from apps.errors import FieldError, InvalidSpec
from apps.experiments.models.leases import Leased
from apps.experiments.statuses import PENDING, JobStatus
from apps.experiments.turns import Waiting, in_turn

Row = TypeVar("Row", bound="Play")


class PlayQuerySet(models.QuerySet[Row]):
    """Evaluations, or films, and whose turn it is."""

    def pending(self) -> "PlayQuerySet[Row]":
        """Those that wait or are worked on."""
        return self.filter(status__in=PENDING)

    def with_status(self, text: str) -> "PlayQuerySet[Row]":
        """Those of one or several statuses, by comma; empty: all.

        Raises:
            InvalidSpec: One of them is no status of a job.
        """
        wanted = [name.strip() for name in text.split(",") if name.strip()]
        if unknown := [name for name in wanted if name not in JobStatus.values]:
            allowed = ", ".join(JobStatus.values)
            message = f"{unknown[0][:40]!r} is not allowed; one or several, by comma, of {allowed}"
            raise InvalidSpec([FieldError("status", message)])
        return self.filter(status__in=wanted) if wanted else self.all()

    def in_turn(self) -> list[int]:
        """Return the keys of those that wait, in the order in which they leave the queue."""
        names = ("created_at", "pk", "run_id", "run__experiment_id", "run__priority")
        waiting = list(self.filter(status=JobStatus.QUEUED).order_by().values_list(*names))
        experiments = {row[3] for row in waiting}
        begun = self.filter(run__experiment_id__in=experiments, started_at__isnull=False)
        latest = begun.order_by().values("run_id", "run__experiment_id")
        running = self.filter(status=JobStatus.RUNNING).order_by()
        return jobs_in_turn(
            waiting,
            list(running.values_list("run_id", "run__experiment_id")),
            list(
                latest.annotate(at=Max("started_at")).values_list(
                    "run_id", "run__experiment_id", "at"
                )
            ),
        )

    def next_queued(self) -> Row | None:
        """Return the one whose turn it is, None when none waits."""
        order = self.in_turn()
        return self.filter(pk=order[0]).first() if order else None


def jobs_in_turn(
    waiting: Iterable[tuple[datetime, int, str, int, int]],
    running: Iterable[tuple[str, int]],
    begun: Iterable[tuple[str, int, datetime]],
) -> list[int]:
    """Return keys of jobs in the order in which they leave the queue.

    Args:
        waiting: Of each that waits: since when, its key, its run, experiment and priority.
        running: Run and experiment of each that is worked on.
        begun: When a job of a run and its experiment began last.
    """
    running, begun = list(running), list(begun)
    busy_runs = Counter(run for run, _ in running)
    busy_experiments = Counter(experiment for _, experiment in running)
    of_runs = _latest((run, at) for run, _, at in begun)
    of_experiments = _latest((experiment, at) for _, experiment, at in begun)
    by_experiment: dict[int, list[Waiting]] = {}
    for since, key, run, experiment, priority in waiting:
        by_experiment.setdefault(experiment, []).append(Waiting(since, key, run, priority))
    line: list[Waiting] = []
    for experiment, jobs in by_experiment.items():
        known = {job.run_id: job for job in jobs}
        order = [known[key] for key in in_turn(jobs, busy_runs, of_runs)]
        line += _in_line(order, experiment)
    return [key for _, key in in_turn(line, busy_experiments, of_experiments)]


def _in_line(order: Iterable[Waiting], experiment: int) -> list[Waiting]:
    """Keep the order of an experiment's jobs for the turns between experiments.

    There they go by the time since when they wait: none is said to wait longer than the one that
    goes before it.
    """
    line: list[Waiting] = []
    for place, job in enumerate(order):
        since = max(job.queued_at, line[-1].queued_at) if line else job.queued_at
        line.append(Waiting(since, (place, job.run_id), experiment, job.priority))
    return line


def _latest(times: Iterable[tuple[Any, datetime]]) -> Mapping[Any, datetime]:
    found: dict[Any, datetime] = {}
    for key, at in times:
        found[key] = max(found.get(key, at), at)
    return found


class Play(Leased):
    """A job that shows or measures how a checkpoint plays."""

    status = models.CharField(max_length=12, choices=JobStatus, default=JobStatus.QUEUED)
    error = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, editable=False)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        abstract = True

    @property
    def is_pending(self) -> bool:
        """Whether it waits or is worked on."""
        return self.status in PENDING

    @property
    def why(self) -> str:
        """Why it came to nothing, in one line; empty when it did not."""
        return self.error.strip().rpartition("\n")[2]

    def claim(self, owner: str, **fields: Any) -> bool:
        """Become the job's supervisor; False when somebody else was first."""
        now = timezone.now()
        return self._change(
            (JobStatus.QUEUED,),
            status=JobStatus.RUNNING,
            owner=owner,
            attempt=F("attempt") + 1,
            started_at=now,
            beat_at=now,
            **fields,
        )

    def requeue(self, **fields: Any) -> bool:
        """Give a running job back to the queue; False when it is no longer this owner's."""
        return self._change((JobStatus.RUNNING,), status=JobStatus.QUEUED, owner="", **fields)

    def finish(self, status: JobStatus, **fields: Any) -> bool:
        """End a running job by compare-and-set; False when it is no longer this owner's."""
        return self._change(
            (JobStatus.RUNNING,), status=status, finished_at=timezone.now(), **fields
        )

    def cancel(self, reason: str) -> bool:
        """End a job that waits or is worked on; False when it had ended before.

        Whoever supervises it learns so at its next beat, and ends its process.
        """
        rows = type(self)._default_manager.filter(pk=self.pk, status__in=PENDING)
        changed = rows.update(status=JobStatus.CANCELLED, error=reason, finished_at=timezone.now())
        return self._refresh(changed == 1)

    def learn_status(self) -> None:
        """Read from the row what became of it; one that is gone with its run is cancelled."""
        row = type(self)._default_manager.filter(pk=self.pk)
        self.status = row.values_list("status", flat=True).first() or JobStatus.CANCELLED

    def _refresh(self, is_winner: bool) -> bool:
        if is_winner:
            return super()._refresh(is_winner)
        self.learn_status()
        return False

    def _change(self, expected: tuple[JobStatus, ...], **fields: Any) -> bool:
        rows = type(self)._default_manager.filter(
            pk=self.pk, status__in=expected, attempt=self.attempt
        )
        return self._refresh(rows.update(**fields) == 1)
