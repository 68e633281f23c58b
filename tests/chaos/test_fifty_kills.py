"""Kill -9 of a trainer, fifty times at any instant: the run ends as if it had lived."""

import random
import signal
import time
from pathlib import Path

import pytest

from apps.engine.training.training import Attempt, train
from apps.rundir.directory import RunDirectory
from tests.builders import events_of, make_directory, spec_of
from tests.live_stack import wait_until
from tests.trainer_processes import send, start
from tests.trainings import assert_same_run, train_with_pauses

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(3600)]

KILLS = 50
# Long enough that no attempt comes to the end before its kill.
STEPS = {"ppo": 80_000, "dqn": 25_000}
MOST_S = 0.3


@pytest.mark.parametrize("algorithm", STEPS)
def test_fifty_kills_of_a_trainer_lose_no_point_and_repeat_none(
    tmp_path: Path, algorithm: str
) -> None:
    spec = spec_of(algorithm, "CartPole-v1", total_timesteps=STEPS[algorithm], save_freq=200)
    directory = make_directory(tmp_path / "killed", spec)
    pick = random.Random(algorithm)
    for number in range(1, KILLS + 1):
        process = start("--supervised")
        send(process, {"job": "train", "directory": str(directory.path), "attempt": number})
        # Each attempt says so once, before it does anything else.
        wait_until(lambda number=number: len(statuses(directory)) == number, 120, "the attempt")
        time.sleep(pick.uniform(0, MOST_S))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert statuses(directory) == ["running"] * number
    train(spec, directory, attempt=Attempt(KILLS + 1))
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    for event in events_of(directory, "attempt"):  # Before its first checkpoint it starts over.
        assert event["fidelity"] == ("exact" if event["from_step"] else "fresh")
    assert_same_run(spec, whole, directory)
    assert not list(directory.path.rglob("*.tmp"))


def statuses(directory: RunDirectory) -> list[str]:
    """Return the statuses that the attempts wrote, in order."""
    return [event["status"] for event in events_of(directory, "status")]
