"""A process that an environment ends is told as what it is: what it was at, and where."""

from typing import Any

import pytest
from pytest_django import Settings

from apps.errors import InvalidSpec
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import checking, life
from apps.jobs.worker import supervisor
from tests.builders import TINY_PPO

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


def in_world(name: str) -> dict[str, Any]:
    environment = f"tests.worlds.odd_worlds:{name}-v0"
    return {**TINY_PPO, "environment": environment, "total_timesteps": 2000}


def trained(name: str, settings: Settings) -> Run:
    settings.WARM_TRAINER = False
    run = life.launch(checking.check_spec(in_world(name)))
    assert run.claim(supervisor.new_owner())
    return supervisor.supervise_run(run, TrainerProcess(*TRAINER), lambda: None)


def test_a_process_that_leaves_amid_training_is_not_said_never_to_have_started(
    settings: Settings,
) -> None:
    run = trained("Exits", settings)
    assert run.status == RunStatus.FAILED
    assert "ended with code 3 by itself, while training" in run.status_reason
    assert f"its log ends at step {run.step:,}" in run.status_reason
    assert "before it could start" not in run.status_reason


def test_a_polite_exit_is_a_failure_with_its_place(settings: Settings) -> None:
    run = trained("ExitsPolitely", settings)
    assert run.status == RunStatus.FAILED
    assert "SystemExit: 0) in reward" in run.status_reason
    assert "odd_worlds.py, line" in run.status_reason
    assert "sys.exit(0)" in run.error
    (line,) = [line for line in run.directory.log.read_text().splitlines() if '"failed"' in line]
    assert '"step":899' in line.replace(" ", "")


def test_a_gpu_that_is_not_there_is_refused_before_the_queue() -> None:
    with pytest.raises(InvalidSpec, match="no GPU is found; use auto or cpu") as refused:
        checking.check_spec({**TINY_PPO, "device": "cuda"})
    assert [error.field for error in refused.value.errors] == ["device"]
