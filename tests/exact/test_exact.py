"""Exact resume of every algorithm: paused in the default suite, killed in `make test-exact`."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.ids import is_installed
from apps.engine.training.training import Attempt, train
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from tests.builders import SMALL, events_of, make_directory
from tests.trainer_processes import send, start
from tests.trainings import assert_same_run, train_with_pauses, wait_for_step

MASKED = "tests.worlds.short_walk:ShortWalk-v0"
WITH_GOALS = "tests.worlds.goal_walk:GoalWalk-v0"
# Who is tried where, of those who can act there. Convolutions take their time, and a plain
# environment needs no more than one algorithm of each kind.
PLACES: dict[str, set[str]] = {
    "CartPole-v1": {*ALGORITHMS},
    "Pendulum-v1": {*ALGORITHMS},
    "LunarLander-v3": {*ALGORITHMS},
    "FrozenLake-v1": {*ALGORITHMS},
    "HalfCheetah-v5": {*ALGORITHMS} - {"ars"},  # Which learns once in thousands of steps there.
    "ALE/Breakout-v5": {"ppo", "a2c", "recurrent_ppo", "dqn", "qrdqn"},
    "MiniGrid-Empty-Random-5x5-v0": {"ppo", "dqn"},
}


def spec_of(algorithm: str, environment: str, total_timesteps: int, **changes: Any) -> RunSpec:
    hyperparameters = dict(SMALL[algorithm])
    if environment == WITH_GOALS:
        discrete = "discrete" in ALGORITHMS[algorithm].action_spaces
        changes["environment_kwargs"] = {"actions": "discrete" if discrete else "box"}
        hyperparameters["her"] = True
    return RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": environment,
            "total_timesteps": total_timesteps,
            "hyperparameters": hyperparameters,
            **changes,
        }
    )


def places_of(algorithm: str) -> list[str]:
    """Environments of the matrix that an algorithm can act in and whose package is here."""
    if ALGORITHMS[algorithm].needs_action_masks:
        return [MASKED]
    places = [
        place
        for place, tried in PLACES.items()
        if algorithm in tried
        and ENVIRONMENTS[place].action_space in ALGORITHMS[algorithm].action_spaces
        and is_installed(ENVIRONMENTS[place].family)
    ]
    return places + [WITH_GOALS] * ("her" in ALGORITHMS[algorithm].hyperparameters)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("algorithm", "environment"),
    [(algorithm, places_of(algorithm)[0]) for algorithm in ALGORITHMS]
    + [("dqn", WITH_GOALS), ("tqc", WITH_GOALS)],
)
def test_every_algorithm_goes_on_as_if_it_had_never_been_paused(
    tmp_path: Path, algorithm: str, environment: str
) -> None:
    spec = spec_of(algorithm, environment, 480)
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    broken, _ = train_with_pauses(tmp_path / "broken", spec, 130, 290)
    assert [event["fidelity"] for event in events_of(broken, "attempt")] == ["exact"] * 2
    assert_same_run(spec, whole, broken)


def wait_for_attempt(directory: RunDirectory, number: int) -> None:
    deadline = time.monotonic() + 60
    while len(events_of(directory, "attempt")) < number - 1 and time.monotonic() < deadline:
        time.sleep(0.01)


@pytest.mark.exact
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("algorithm", "environment", "is_normalized"),
    [
        *((algorithm, place, False) for algorithm in ALGORITHMS for place in places_of(algorithm)),
        *((algorithm, places_of(algorithm)[0], True) for algorithm in ALGORITHMS),
    ],
)
def test_every_algorithm_killed_three_times_ends_as_if_it_had_lived(
    tmp_path: Path, algorithm: str, environment: str, is_normalized: bool
) -> None:
    total = 600 if environment.startswith("ALE/") else 3000  # Convolutions take their time.
    changes = {"save_freq": total // 20, "n_envs": 1, "normalize": is_normalized}
    spec = spec_of(algorithm, environment, total, **changes)
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    directory = make_directory(tmp_path / "killed", spec)
    pick = random.Random(f"{algorithm} {environment}")
    for number in (1, 2, 3):
        process = start("--supervised")
        send(process, {"job": "train", "directory": str(directory.path), "attempt": number})
        # Of ARS the attempts before have gone far beyond the checkpoint, and steps say nothing.
        wait_for_attempt(directory, number)
        wait_for_step(directory, pick.randint(number * total // 5, number * total * 4 // 15))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    train(spec, directory, attempt=Attempt(4))
    attempts = events_of(directory, "attempt")
    assert [event["fidelity"] for event in attempts] == ["exact"] * 3
    # ARS learns once in hundreds of steps, so it may be killed before its first checkpoint.
    assert algorithm == "ars" or all(event["from_step"] > 0 for event in attempts)
    assert_same_run(spec, whole, directory)
