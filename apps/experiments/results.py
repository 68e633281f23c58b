"""What runs leave behind: checkpoints, evaluations, films.

Rows are an index of files, as those of runs are (`models`).
"""

from dataclasses import fields
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from apps.engine import checkpoint_files
from apps.engine.spec import EvalSpec
from apps.experiments.leases import Leased
from apps.experiments.life import JobStatus

if TYPE_CHECKING:
    from apps.experiments.models import Run


class Checkpoint(models.Model):
    """Everything needed to go on from a step."""

    run = models.ForeignKey(
        "experiments.Run", on_delete=models.CASCADE, related_name="checkpoints"
    )
    step = models.PositiveBigIntegerField()
    size_bytes = models.PositiveBigIntegerField(default=0)
    sha256 = models.CharField(max_length=64, blank=True, help_text="Hash of its manifest.")
    is_best = models.BooleanField(default=False)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["step"]
        constraints = [
            models.UniqueConstraint(fields=["run", "step"], name="checkpoint_once_a_step"),
        ]

    def __str__(self) -> str:
        return f"{self.run} at step {self.step}"

    def verify(self, only: str = "") -> dict[str, Any]:
        """Compare its files with what this row remembers of them, and return its manifest.

        Args:
            only: The one file that will be read; empty: all of them.

        Raises:
            DamagedCheckpoint: They are gone, or are not those that were recorded.
        """
        return checkpoint_files.verify(self.run.directory, self.step, self.sha256, only)


class EvaluationQuerySet(models.QuerySet["Evaluation"]):
    def ask(self, run: "Run", step: int, spec: EvalSpec) -> "Evaluation":
        """Record that a checkpoint is to be evaluated; whoever asks rings the queue afterwards."""
        return self.create(
            run=run,
            step=step,
            n_episodes=spec.n_episodes,
            seed=spec.seed,
            is_deterministic=spec.is_deterministic,
            max_episode_steps=spec.max_episode_steps,
            should_film=spec.should_film,
        )

    def next_queued(self) -> "Evaluation | None":
        """Return the evaluation that has waited longest, None when none waits."""
        return self.filter(status=JobStatus.QUEUED).order_by("created_at", "pk").first()


class Evaluation(Leased):
    """N episodes of one checkpoint, on recorded seeds."""

    run = models.ForeignKey(
        "experiments.Run", on_delete=models.CASCADE, related_name="evaluations"
    )
    step = models.PositiveBigIntegerField(help_text="Step of the checkpoint that plays.")
    status = models.CharField(max_length=12, choices=JobStatus, default=JobStatus.QUEUED)
    error = models.TextField(blank=True)

    # What was asked.
    n_episodes = models.PositiveIntegerField(default=5)
    # Null where the script of a logged run did not say.
    seed = models.PositiveBigIntegerField(
        null=True, help_text="Seed of the first episode; the next add one."
    )
    is_deterministic = models.BooleanField(null=True, default=True)
    max_episode_steps = models.PositiveIntegerField(null=True, default=10_000)
    should_film = models.BooleanField(default=True)

    # What came of it; `result` is the content of the file `name` in the run's eval folder.
    name = models.CharField(max_length=80, blank=True, help_text="File name without its suffix.")
    return_mean = models.FloatField(null=True)
    return_std = models.FloatField(null=True)
    return_min = models.FloatField(null=True)
    return_max = models.FloatField(null=True)
    length_mean = models.FloatField(null=True)
    result = models.JSONField(null=True)
    created_at = models.DateTimeField(default=timezone.now)
    finished_at = models.DateTimeField(null=True)

    objects = EvaluationQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [models.Index(fields=["status", "created_at"], name="evaluation_status_created")]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=JobStatus.values), name="evaluation_status_is_known"
            ),
            models.UniqueConstraint(
                fields=["run", "name"], condition=~Q(name=""), name="evaluation_once_a_file"
            ),
        ]

    def __str__(self) -> str:
        return f"evaluation of {self.run} at step {self.step}"

    def spec(self) -> EvalSpec:
        """Return what was asked."""
        names = [spec_field.name for spec_field in fields(EvalSpec)]
        return EvalSpec.from_dict({name: getattr(self, name) for name in names})

    @property
    def film_error(self) -> str:
        """Why there is no film although one was asked for, empty when there is nothing to say."""
        return str((self.result or {}).get("film_error") or "")

    def claim(self, owner: str) -> bool:
        """Become the evaluation's supervisor; False when somebody else was first."""
        changed = Evaluation.objects.filter(
            pk=self.pk, status=JobStatus.QUEUED, attempt=self.attempt
        ).update(
            status=JobStatus.RUNNING,
            owner=owner,
            attempt=F("attempt") + 1,
            beat_at=timezone.now(),
        )
        return self._refresh(changed == 1)

    def requeue(self) -> bool:
        """Give a running evaluation back to the queue; False when it is no longer this owner's."""
        changed = Evaluation.objects.filter(
            pk=self.pk, status=JobStatus.RUNNING, attempt=self.attempt
        ).update(status=JobStatus.QUEUED, owner="")
        return self._refresh(changed == 1)

    def finish(self, status: JobStatus, **fields: Any) -> bool:
        """End a running evaluation by compare-and-set; False when it is no longer this owner's."""
        changed = Evaluation.objects.filter(
            pk=self.pk, status=JobStatus.RUNNING, attempt=self.attempt
        ).update(status=status, finished_at=timezone.now(), **fields)
        return self._refresh(changed == 1)


class Video(models.Model):
    """One film: an MP4 with its poster, both inside the run's directory."""

    run = models.ForeignKey("experiments.Run", on_delete=models.CASCADE, related_name="videos")
    evaluation = models.OneToOneField(
        Evaluation, on_delete=models.CASCADE, null=True, blank=True, related_name="video"
    )
    step = models.PositiveBigIntegerField()
    path = models.CharField(max_length=200, help_text="Path inside the run's directory.")
    poster_path = models.CharField(max_length=200)
    duration_s = models.FloatField()
    width = models.PositiveIntegerField()
    height = models.PositiveIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-created_at", "-pk"]
        constraints = [
            models.UniqueConstraint(fields=["run", "path"], name="video_once_a_file"),
        ]

    def __str__(self) -> str:
        return f"film of {self.run} at step {self.step}"
