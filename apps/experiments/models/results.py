"""What runs leave behind: checkpoints, evaluations, films.

Rows are an index of files, as those of runs are (`models`).
"""

from dataclasses import fields
from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from apps.experiments.models.plays import Play, PlayQuerySet
from apps.experiments.models.run import Run
from apps.experiments.statuses import JobStatus
from apps.rundir import checkpoints
from apps.spec.evaluation import EvalSpec


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
        return checkpoints.verify(self.run.directory, self.step, self.sha256, only)


class EvaluationQuerySet(PlayQuerySet["Evaluation"]):
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


class Evaluation(Play):
    """N episodes of one checkpoint, on recorded seeds."""

    run = models.ForeignKey(
        "experiments.Run", on_delete=models.CASCADE, related_name="evaluations"
    )
    step = models.PositiveBigIntegerField(help_text="Step of the checkpoint that plays.")

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
    special = models.JSONField(
        default=dict, help_text="Of those that are not finite, and null: nan, inf or -inf."
    )
    n_played = models.PositiveIntegerField(
        null=True, help_text="Episodes that ended; fewer than asked when it was interrupted."
    )
    interrupted = models.CharField(max_length=200, blank=True, help_text="Why it was.")
    result = models.JSONField(null=True)

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
    def file_name(self) -> str:
        """How its files in the run's eval folder begin, its film's too; empty before it began."""
        return self.name

    @property
    def film(self) -> "Video | None":
        """Its film, None unless it is finished."""
        video: Video | None = getattr(self, "video", None)
        return video if video and video.status == JobStatus.COMPLETED else None

    @property
    def film_error(self) -> str:
        """Why there is no film although one was asked for, empty when there is nothing to say."""
        video: Video | None = getattr(self, "video", None)
        if video is not None:
            return video.why
        return str((self.result or {}).get("film_error") or "")


class VideoQuerySet(PlayQuerySet["Video"]):
    def owe(self, evaluation: Evaluation) -> "Video":
        """Record that an evaluation is to be filmed; whoever asks rings the queue afterwards."""
        fields = {"run": evaluation.run, "step": evaluation.step, "status": JobStatus.QUEUED}
        return self.get_or_create(evaluation=evaluation, defaults=fields)[0]

    def finished(self) -> "VideoQuerySet":
        """Films that can be seen."""
        return self.filter(status=JobStatus.COMPLETED)


class Video(Play):
    """One film: an MP4 with its poster, both inside the run's directory.

    Until it is finished it has no files, and nobody knows its size.
    """

    run = models.ForeignKey("experiments.Run", on_delete=models.CASCADE, related_name="videos")
    evaluation = models.OneToOneField(
        Evaluation, on_delete=models.CASCADE, null=True, blank=True, related_name="video"
    )
    step = models.PositiveBigIntegerField()
    # What is not made here, but sent, is finished when its row is made.
    status = models.CharField(max_length=12, choices=JobStatus, default=JobStatus.COMPLETED)
    path = models.CharField(
        max_length=200, blank=True, help_text="Path inside the run's directory."
    )
    poster_path = models.CharField(max_length=200, blank=True)
    duration_s = models.FloatField(null=True)
    width = models.PositiveIntegerField(null=True)
    height = models.PositiveIntegerField(null=True)
    size_bytes = models.PositiveBigIntegerField(null=True)
    cut = models.TextField(blank=True, help_text="What of the evaluation it does not show.")

    objects = VideoQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at", "-pk"]
        indexes = [models.Index(fields=["status", "created_at"], name="video_status_created")]
        constraints = [
            models.CheckConstraint(
                condition=Q(status__in=JobStatus.values), name="video_status_is_known"
            ),
            models.CheckConstraint(
                condition=~Q(status=JobStatus.COMPLETED) | ~Q(path=""),
                name="finished_film_has_file",
            ),
            models.UniqueConstraint(
                fields=["run", "path"], condition=~Q(path=""), name="video_once_a_file"
            ),
        ]

    def __str__(self) -> str:
        return f"film of {self.run} at step {self.step}"

    @property
    def file_name(self) -> str:
        """How its files in the run's eval folder begin; empty for one that a script sent."""
        return self.evaluation.name if self.evaluation else ""
