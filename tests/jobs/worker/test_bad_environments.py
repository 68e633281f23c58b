"""Whatever an environment does, it is said in words, can be stopped, and leaves nothing behind."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.errors import InvalidSpec
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import checking, life
from apps.jobs.worker import requests, supervisor
from tests.builders import TINY_PPO
from tests.worlds.misbehaving import is_gone

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


def hanging(place: str, pid_file: Path) -> dict[str, object]:
    kwargs = {"hangs_in": place, "pid_file": str(pid_file)}
    return {
        **TINY_PPO,
        "environment": "tests.worlds.misbehaving:Hangs-v0",
        "environment_kwargs": kwargs,
    }


def test_what_a_described_environment_started_ends_with_its_description(tmp_path: Path) -> None:
    checking.check_spec(hanging("", tmp_path / "pid"))
    assert is_gone(tmp_path / "pid")


def test_a_constructor_that_hangs_is_given_up_and_named(
    tmp_path: Path, settings: Settings
) -> None:
    settings.CHECK_LIMIT_S = 1
    with pytest.raises(
        InvalidSpec, match=r"within 1 s: it hung in _hang \(.*misbehaving.py, line"
    ):
        checking.check_spec(hanging("constructor", tmp_path / "pid"))
    assert is_gone(tmp_path / "pid")


@pytest.mark.slow
@pytest.mark.parametrize("verb", [life.stop, life.pause])
def test_a_run_that_hangs_ends_as_it_was_asked_to_and_leaves_nothing(
    verb: Callable[[Run], Run],
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings.WARM_TRAINER = False
    monkeypatch.setattr(requests, "FORCE_AFTER_S", 0.5)
    run = life.launch(checking.check_spec(hanging("step", tmp_path / "pid")))
    assert run.claim(supervisor.new_owner())

    def end_once_it_hangs(now: Run) -> None:
        if (tmp_path / "pid").exists() and now.stop_requested_at is None:
            verb(Run.objects.get(pk=now.pk))
            now.refresh_from_db()

    trainer = TrainerProcess(*TRAINER)
    supervisor.supervise_run(run, trainer, lambda: None, end_once_it_hangs)
    asked = RunStatus.STOPPED if verb is life.stop else RunStatus.PAUSED
    assert (run.status, trainer.is_running()) == (asked, False)
    assert "showed no progress for" in run.status_reason
    assert "no checkpoint yet: retry begins anew" in run.status_reason
    assert is_gone(tmp_path / "pid")


@pytest.mark.slow
def test_a_run_that_computes_for_long_in_one_update_is_waited_for_and_saves(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WARM_TRAINER = False
    monkeypatch.setattr(requests, "FORCE_AFTER_S", 3.0)
    # Thousands of small minibatches: one update takes three times as long and more.
    slow = {"n_steps": 2048, "batch_size": 8, "n_epochs": 40, "net_arch": [8]}
    spec = {**TINY_PPO, "total_timesteps": 100_000, "hyperparameters": slow}
    run = life.launch(checking.check_spec(spec))
    assert run.claim(supervisor.new_owner())
    asked_at: list[float] = []

    def pause_amid_the_update(now: Run) -> None:
        if now.episodes and not asked_at:
            asked_at.append(time.monotonic())
            life.pause(Run.objects.get(pk=now.pk))

    supervisor.supervise_run(run, TrainerProcess(*TRAINER), lambda: None, pause_amid_the_update)
    assert time.monotonic() - asked_at[0] > requests.FORCE_AFTER_S
    assert (run.status, run.status_reason) == (RunStatus.PAUSED, "Paused by its user.")
    assert [checkpoint.step for checkpoint in run.checkpoints.all()] == [2048]
