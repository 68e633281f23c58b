"""Runs; `results` has what they leave behind.

Rows are an index of the run directories: whatever is here can be rebuilt from disk. A status never
changes by `save()`: `move_to` and `claim` are single UPDATEs that name the status they expect, and
zero changed rows means that somebody else was first.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings
from django.db import models
from django.db.models import Case, Count, F, Q, Subquery, Sum, When
from django.db.models.functions import Coalesce
from django.db.models.lookups import LessThan, LessThanOrEqual
from django.urls import reverse
from django.utils import timezone

from apps.catalogue.presets.presets import PRESET_TITLES
from apps.experiments.listing.sorting import SORT_INDEXES
from apps.experiments.models.experiment import Experiment
from apps.experiments.models.run_life import RunLife
from apps.experiments.statuses import (
    ACTIVE_STATUSES,
    LOGGED_MOVES,
    RESUMABLE_STATUSES,
    Relation,
    RunKind,
    RunStatus,
)
from apps.experiments.turns import Waiting, first_in_turn, in_turn
from apps.machine.host import PROCESS_BYTES
from apps.rundir.directory import RunDirectory
from apps.text.names import ID_ALPHABET, ID_LENGTH, LATEST, one_line


def new_run_id() -> str:
    """Return a short random id that is easy to read aloud and safe in a path."""
    return "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_LENGTH))


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
        running = self.filter(status=RunStatus.RUNNING)
        turn = first_in_turn(Experiment.objects.all(), waiting, running)
        return waiting.filter(experiment=Subquery(turn)).order_by("queued_at", "pk").first()

    def in_turn(self) -> list[str]:
        """Return the ids of the queued runs in the order in which they leave the queue."""
        queued = self.filter(status=RunStatus.QUEUED).order_by()
        since = Coalesce("queued_at", "created_at")
        waiting = queued.values_list(since, "pk", "experiment", "priority")
        running = self.filter(status=RunStatus.RUNNING).order_by().values("experiment")
        counts = running.annotate(count=Count("pk")).values_list("experiment", "count")
        served = Experiment.objects.filter(pk__in=queued.values("experiment"))
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


class Run(RunLife):
    """One training process's life, with one spec and one seed."""

    id = models.CharField(primary_key=True, max_length=32, default=new_run_id, editable=False)
    name = models.CharField(max_length=120)
    experiment = models.ForeignKey(
        Experiment, on_delete=models.PROTECT, related_name="runs", db_index=False
    )

    # The spec, and the parts of it that lists show and filter by.
    spec = models.JSONField(editable=False)
    algorithm = models.CharField(max_length=40, editable=False)
    environment = models.CharField(max_length=200, editable=False)
    preset = models.CharField(max_length=40, blank=True, editable=False)
    seed = models.PositiveBigIntegerField(null=True, editable=False)
    total_timesteps = models.PositiveBigIntegerField(null=True, editable=False)
    memory_bytes = models.PositiveBigIntegerField(
        default=PROCESS_BYTES,
        editable=False,
        help_text="About what its training takes of memory when its buffer is full.",
    )
    gpu_memory_bytes = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="About what its training takes of a GPU's memory, where there is a GPU.",
    )
    configuration_hash = models.CharField(
        max_length=32, blank=True, editable=False, help_text="Of the spec without its seed."
    )

    # Where it came from, and how exactly its latest attempt went on.
    parent = models.ForeignKey(
        "self", on_delete=models.SET_NULL, null=True, blank=True, related_name="children"
    )
    parent_step = models.PositiveBigIntegerField(null=True, blank=True, editable=False)
    relation = models.CharField(max_length=12, choices=Relation, blank=True, editable=False)
    fidelity = models.CharField(max_length=12, blank=True, editable=False)
    fidelity_notes = models.JSONField(default=dict, blank=True, editable=False)

    # Summary of the log up to `log_cursor`; lists read these and never a log.
    log_cursor = models.PositiveBigIntegerField(default=0, editable=False)
    step = models.PositiveBigIntegerField(default=0, editable=False)
    episodes = models.PositiveBigIntegerField(default=0, editable=False)
    # What lists are sorted by; `progress` is the same for rows that are not saved yet.
    done_fraction = models.GeneratedField(
        expression=Case(
            When(Q(status=RunStatus.COMPLETED) | Q(step__gte=F("total_timesteps")), then=1.0),
            default=F("step") * 1.0 / F("total_timesteps"),
        ),
        output_field=models.FloatField(),
        db_persist=True,
    )
    steps_per_second = models.FloatField(null=True, editable=False)
    # Least, greatest and mean are over episodes; last, best and AUC are of the curve of their
    # means (`metrics.figures`). Of a loss the best is the least.
    return_min = models.FloatField("least return", null=True, editable=False)
    return_max = models.FloatField("greatest return", null=True, editable=False)
    return_mean = models.FloatField("mean return", null=True, editable=False)
    return_last = models.FloatField("last return", null=True, editable=False)
    return_best = models.FloatField("best return", null=True, editable=False)
    return_auc = models.FloatField("return AUC", null=True, editable=False)
    return_tenths = models.JSONField(
        default=list, editable=False, help_text="Running mean of the return at each tenth."
    )
    length_min = models.FloatField("least episode length", null=True, editable=False)
    length_max = models.FloatField("greatest episode length", null=True, editable=False)
    length_mean = models.FloatField("mean episode length", null=True, editable=False)
    length_last = models.FloatField("last episode length", null=True, editable=False)
    length_auc = models.FloatField("episode length AUC", null=True, editable=False)
    evaluation_min = models.FloatField("least evaluated return", null=True, editable=False)
    evaluation_max = models.FloatField("greatest evaluated return", null=True, editable=False)
    evaluation_mean = models.FloatField("mean evaluated return", null=True, editable=False)
    evaluation_last = models.FloatField("last evaluation", null=True, editable=False)
    evaluation_best = models.FloatField("best evaluation", null=True, editable=False)
    evaluation_auc = models.FloatField("evaluation AUC", null=True, editable=False)
    loss_key = models.CharField("loss", max_length=100, blank=True, editable=False)
    loss_min = models.FloatField("least loss", null=True, editable=False)
    loss_max = models.FloatField("greatest loss", null=True, editable=False)
    loss_mean = models.FloatField("mean loss", null=True, editable=False)
    loss_last = models.FloatField("last loss", null=True, editable=False)
    loss_auc = models.FloatField("loss AUC", null=True, editable=False)

    objects = RunQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [
            # These two make `next_queued` cheap; the second stands for the foreign key's own. With
            # its id the first is wider than `run_by_status`, which SQLite then sorts by.
            models.Index(
                fields=["status", "-priority", "experiment", "queued_at", "id"], name="run_queue"
            ),
            models.Index(fields=["experiment", "status"], name="run_experiment_status"),
            models.Index(fields=["environment", "algorithm"], name="run_environment_algorithm"),
            models.Index(fields=["experiment", "configuration_hash", "seed"], name="run_same"),
            *(models.Index(fields=[column, "id"], name=n) for column, n in SORT_INDEXES.items()),
        ]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=RunStatus.values), name="run_status_is_known"
            ),
            models.CheckConstraint(
                condition=Q(total_timesteps__gte=1), name="run_has_steps_to_do"
            ),
            models.CheckConstraint(
                condition=~Q(status="running") | ~Q(owner=""), name="running_run_has_owner"
            ),
            models.CheckConstraint(
                condition=~Q(kind="logged") | Q(status__in=list(LOGGED_MOVES)),
                name="logged_run_never_waits",
            ),
            models.CheckConstraint(
                condition=Q(kind="logged") | Q(seed__isnull=False, total_timesteps__isnull=False),
                name="trained_run_knows_its_work",
            ),
            models.CheckConstraint(
                condition=Q(parent=None) | ~Q(parent=F("id")), name="run_is_not_its_own_parent"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("run", args=[self.pk])

    @property
    def directory(self) -> RunDirectory:
        """The run's directory, which is the truth about it."""
        return RunDirectory(Path(settings.RUNS_ROOT) / self.pk)

    @property
    def progress(self) -> float | None:
        """Share of the steps done, 0 to 1; 1 when completed. None: nobody said how many."""
        if self.status == RunStatus.COMPLETED:
            return 1.0
        return min(self.step / self.total_timesteps, 1.0) if self.total_timesteps else None

    @property
    def eta_s(self) -> float | None:
        """Seconds until the run is done at its present speed, None when not training."""
        if self.status != RunStatus.RUNNING or not self.steps_per_second:
            return None
        if self.total_timesteps is None:
            return None
        return max(self.total_timesteps - self.step, 0) / self.steps_per_second

    def ancestors(self) -> list[tuple["Run", int]]:
        """Return the runs it went on from, oldest first, each with the step it was left at."""
        found: list[tuple[Run, int]] = []
        run = self
        # A seed took weights alone: its own steps begin at 0.
        while run.parent and run.parent_step is not None and run.relation != Relation.SEED:
            found.append((run.parent, run.parent_step))
            run = run.parent
        return found[::-1]

    @property
    def preset_title(self) -> str:
        """The preset's name for people."""
        return dict(PRESET_TITLES).get(self.preset, self.preset)  # type: ignore[call-overload,no-any-return]

    @property
    def can_resume(self) -> bool:
        """Whether it has ended early and has a checkpoint to go on from."""
        return self.status in RESUMABLE_STATUSES and self.checkpoints.exists()

    def claim(
        self, owner: str, at_most: int | None = None, within: Mapping[str, int] | None = None
    ) -> bool:
        """Become the run's supervisor; False when somebody else was first or it is not waiting.

        Args:
            owner: The supervisor's name, which begins with its host.
            at_most: How many runs may run on that host, this one included; False when it would be
                one more. None sets no limit.
            within: How much all runs on that host may take, likewise, by the field that says how
                much one takes.
        """
        waiting = Run.objects.filter(
            pk=self.pk, status__in=(RunStatus.DRAFT, RunStatus.QUEUED), attempt=self.attempt
        )
        # Counted by the same statement that claims, so that two workers cannot both be last.
        running = Run.objects.running_on(owner.partition(":")[0]).order_by().values("status")
        if at_most is not None:
            count = Coalesce(Subquery(running.values(count=Count("pk"))), 0)
            waiting = waiting.filter(LessThan(count, at_most))
        for field, limit in (within or {}).items():
            if needed := getattr(self, field):
                taken = Coalesce(Subquery(running.values(taken=Sum(field))), 0)
                waiting = waiting.filter(LessThanOrEqual(taken, limit - needed))
        now = timezone.now()
        changed = waiting.update(
            status=RunStatus.RUNNING,
            status_reason="",
            error="",
            owner=owner,
            attempt=F("attempt") + 1,
            started_at=Coalesce("started_at", now),
            beat_at=now,
        )
        if changed:
            Experiment.objects.filter(pk=self.experiment_id).update(served_at=now)
        return self._refresh(changed == 1)
