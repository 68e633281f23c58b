"""What a trainer process is started with."""

import psutil
import pytest

from apps.jobs.trainers import DEFAULTS, TRAINER, TrainerProcess
from tests.live_stack import wait_until

pytestmark = pytest.mark.usefixtures("home")


def environment_of_a_trainer() -> dict[str, str]:
    with TrainerProcess(*TRAINER) as process:
        started = psutil.Process(process.pid)
        return wait_until(started.environ, 10, "the process to have its environment")


def test_a_trainer_has_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in DEFAULTS:
        monkeypatch.delenv(name, raising=False)
    assert environment_of_a_trainer().items() >= DEFAULTS.items()


def test_what_somebody_set_stays_but_for_how_threads_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "1")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    had = environment_of_a_trainer()
    assert had["MALLOC_TRIM_THRESHOLD_"] == "1"
    assert had["OMP_WAIT_POLICY"] == "PASSIVE"
