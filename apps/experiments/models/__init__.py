"""The tables: experiments and runs, and what they leave behind."""

from apps.experiments.models.experiment import Experiment
from apps.experiments.models.plays import Play
from apps.experiments.models.results import (
    Checkpoint,
    Evaluation,
    EvaluationQuerySet,
    Video,
    VideoQuerySet,
)
from apps.experiments.models.run import Run, RunNotFound, RunQuerySet, new_run_id

__all__ = [
    "Checkpoint",
    "Evaluation",
    "EvaluationQuerySet",
    "Experiment",
    "Play",
    "Run",
    "RunNotFound",
    "RunQuerySet",
    "Video",
    "VideoQuerySet",
    "new_run_id",
]
