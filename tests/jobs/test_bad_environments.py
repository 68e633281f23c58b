"""Whatever an environment does, it is said in words, can be stopped, and leaves nothing behind."""

from pathlib import Path

import pytest
from pytest_django import Settings

from apps.engine.errors import InvalidSpec
from apps.experiments.models import Run, RunStatus
from apps.jobs import control, requests, supervisor
from apps.jobs.trainer import TRAINER, TrainerProcess
from tests.conftest import TINY_PPO
from tests.misbehaving import is_gone

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]


def hanging(place: str, pid_file: Path) -> dict[str, object]:
    kwargs = {"hangs_in": place, "pid_file": str(pid_file)}
    return {**TINY_PPO, "environment": "tests.misbehaving:Hangs-v0", "environment_kwargs": kwargs}


def test_what_a_described_environment_started_ends_with_its_description(tmp_path: Path) -> None:
    control.check_spec(hanging("", tmp_path / "pid"))
    assert is_gone(tmp_path / "pid")


def test_a_constructor_that_hangs_is_given_up_and_named(
    tmp_path: Path, settings: Settings
) -> None:
    settings.CHECK_LIMIT_S = 1
    with pytest.raises(
        InvalidSpec, match=r"within 1 s: it hung in _hang \(.*misbehaving.py, line"
    ):
        control.check_spec(hanging("constructor", tmp_path / "pid"))
    assert is_gone(tmp_path / "pid")


@pytest.mark.slow
def test_a_run_that_hangs_can_be_stopped_and_leaves_nothing(
    tmp_path: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.WARM_TRAINER = False
    monkeypatch.setattr(requests, "FORCE_AFTER_S", 0.1)
    run = control.launch(control.check_spec(hanging("step", tmp_path / "pid")))
    assert run.claim(supervisor.new_owner())

    def stop_once_it_hangs(now: Run) -> None:
        if (tmp_path / "pid").exists() and now.stop_requested_at is None:
            control.stop(Run.objects.get(pk=now.pk))
            now.refresh_from_db()

    trainer = TrainerProcess(*TRAINER)
    supervisor.supervise_run(run, trainer, lambda: None, stop_once_it_hangs)
    assert (run.status, trainer.is_running()) == (RunStatus.STOPPED, False)
    assert "was forced" in run.status_reason
    assert is_gone(tmp_path / "pid")
