"""A logged-in reader of pages, and a run that has left something of everything."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.accounts.models import first_admin
from apps.experiments.models import Checkpoint, Evaluation, Run, Video
from apps.experiments.statuses import JobStatus, RunStatus
from apps.rundir import events
from tests.builders import make_run


@pytest.fixture
def admin(db: None) -> User:
    """The first admin."""
    return first_admin()


@pytest.fixture
def reader(admin: User, client: Client, home: Path) -> Client:
    """A client that is logged in."""
    home.joinpath("media").mkdir(exist_ok=True)
    client.force_login(admin)
    return client


@pytest.fixture
def finished(reader: Client) -> Run:
    """A completed run with a checkpoint, an evaluation and its film."""
    run = make_run(status=RunStatus.COMPLETED, step=256, return_best=21.5, name="finished")
    Checkpoint.objects.create(run=run, step=256, size_bytes=1000, is_best=True)
    episodes = [{"seed": 7, "episode_return": 9.25, "length": 9, "is_terminated": True}]
    evaluation = Evaluation.objects.create(
        run=run,
        step=256,
        seed=7,
        n_episodes=1,
        status=JobStatus.COMPLETED,
        name="eval_1",
        return_mean=9.25,
        return_std=0.0,
        return_min=9.25,
        return_max=9.25,
        result={"episodes": episodes},
    )
    Video.objects.create(
        run=run,
        evaluation=evaluation,
        step=256,
        path="eval/eval_1.mp4",
        poster_path="eval/eval_1.webp",
        duration_s=4.0,
        width=600,
        height=400,
        size_bytes=5000,
    )
    run.directory.append(
        events.status(0, "running"),
        events.attempt(0, 1, "exact"),
        events.checkpoint(256, 1000, is_best=True, should_evaluate=True),
        events.evaluation(256, {"return_mean": 9.25}),
        events.status(256, "completed"),
    )
    run.directory.train_log.write_text("step 256 of 256 <done>\n")
    return run
