"""Whatever an environment holds, its runs are saved and go on, and say what could not be kept."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from gymnasium.vector import AutoresetMode, VectorEnv
from stable_baselines3 import PPO

from apps.engine.environments.pickles import CannotPickle, CannotRestore, pickled, unpickled
from apps.engine.stepping.native import NativeVecEnv
from apps.engine.training.training import Attempt, train
from apps.rundir.directory import RunDirectory
from apps.rundir.files import write_json
from apps.spec.run import RunSpec
from tests.builders import make_directory
from tests.trainer_processes import run_one
from tests.worlds.holding import ERRORS, HELD, Holds

HOLDS = "tests.worlds.holding:Holds-v0"


def spec_for(steps: int, environment: str = HOLDS, **fields: Any) -> RunSpec:
    return RunSpec.from_dict(
        {
            "algorithm": "ppo",
            "environment": environment,
            "total_timesteps": steps,
            "hyperparameters": {"n_steps": 32, "batch_size": 32, "n_epochs": 1, "net_arch": [8]},
            **fields,
        }
    )


def lines_of(directory: RunDirectory, kind: str) -> list[dict[str, Any]]:
    return [line for line in map(json.loads, directory.log.open()) if line["type"] == kind]


def remarks(directory: RunDirectory) -> list[str]:
    lines = lines_of(directory, "status")
    return [line["reason"] for line in lines if line["status"] == "running" and "reason" in line]


def gone_on(folder: Path, **fields: Any) -> tuple[RunDirectory, dict[str, Any]]:
    """Train 96 steps and go on to 192; return the directory and the line of the second attempt."""
    directory = make_directory(folder / "run", spec_for(96, **fields))
    train(spec_for(96, **fields), directory)
    train(spec_for(192, **fields), directory, attempt=Attempt(number=2))
    return directory, lines_of(directory, "attempt")[0]


def assert_same_policy(directory: RunDirectory, other: RunDirectory) -> None:
    ends = [each.checkpoints / "192" / "model.zip" for each in (directory, other)]
    weights = [PPO.load(end).get_parameters()["policy"] for end in ends]
    for name, tensor in weights[0].items():
        assert torch.equal(tensor, weights[1][name])


@pytest.mark.parametrize("what", [*HELD, *ERRORS])
def test_what_cannot_be_pickled_goes_on_exactly_and_the_run_says_so(
    what: str, tmp_path: Path
) -> None:
    fields = {"environment_kwargs": {"what": what}, "n_envs": 2}
    directory, attempt = gone_on(tmp_path, **fields)
    assert (attempt["fidelity"], attempt.get("notes") or {}) == ("exact", {})
    said = remarks(directory)
    assert "its episode is played again" in said[0]
    assert what not in ERRORS or what in said[0] or "recursion" in said[0]
    whole = make_directory(tmp_path / "whole", spec_for(192, **fields))
    train(spec_for(192, **fields), whole)
    assert_same_policy(directory, whole)


@pytest.mark.slow
def test_an_environment_with_a_process_pool_is_trained_and_goes_on(tmp_path: Path) -> None:
    pool = "tests.worlds.odd_worlds:Pool-v0"
    directory = make_directory(tmp_path / "run", spec_for(96, environment=pool))
    for number, steps in enumerate((96, 192), start=1):
        # In processes of their own: a pool's processes hold the run's lock as long as they live.
        write_json(directory.spec, spec_for(steps, environment=pool).as_dict())
        job = {"job": "train", "directory": str(directory.path), "attempt": number}
        _, reply = run_one(job)
        assert reply["result"]["status"] == "completed"
    assert lines_of(directory, "attempt")[0]["fidelity"] == "exact"
    assert "pool objects cannot be passed" in remarks(directory)[0]


def test_what_can_be_pickled_says_nothing(tmp_path: Path) -> None:
    directory, attempt = gone_on(tmp_path, environment_kwargs={"what": "nothing"})
    assert attempt["fidelity"] == "exact"
    assert remarks(directory) == []


@pytest.mark.parametrize("vectorization", ["dummy", "subprocess"])
def test_one_that_cannot_be_pickled_any_more_is_lost_once_and_journaled_then(
    vectorization: str, tmp_path: Path
) -> None:
    fields = {
        "environment_kwargs": {"what": "a lock", "late": 40},
        "save_freq": 32,
        "vectorization": vectorization,
    }
    directory, attempt = gone_on(tmp_path, **fields)
    said = remarks(directory)
    assert "begins anew at a resume" in said[0]
    assert "is played again" in said[1]
    assert attempt["fidelity"] == "exact"


def test_what_was_lost_begins_anew_and_the_run_says_so(tmp_path: Path) -> None:
    _, attempt = gone_on(tmp_path, environment_kwargs={"what": "a lock", "late": 40})
    assert attempt["fidelity"] == "warm"
    assert "cannot be pickled" in attempt["notes"]["environment state"]


@pytest.mark.parametrize("vectorization", ["dummy", "subprocess"])
def test_what_cannot_be_unpickled_begins_anew_and_the_run_says_so(
    vectorization: str, tmp_path: Path
) -> None:
    fields = {"environment_kwargs": {"what": "not back"}, "vectorization": vectorization}
    _, attempt = gone_on(tmp_path, **fields)
    assert attempt["fidelity"] == "warm"
    assert "ZeroDivisionError: not here" in attempt["notes"]["environment state"]


class HoldsNatively(VectorEnv[Any, Any, Any]):
    """Two environments that step by themselves and cannot be pickled."""

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}
    num_envs = 2
    single_observation_space = Holds.observation_space
    single_action_space = Holds.action_space

    def __getstate__(self) -> dict[str, Any]:
        raise RuntimeError("on purpose")


def test_a_native_environment_says_why_it_cannot_be_kept() -> None:
    env = NativeVecEnv(HoldsNatively())
    state = env.state()
    assert "RuntimeError: on purpose" in env.why_not_pickled(state)
    with pytest.raises(CannotRestore, match="on purpose"):
        env.restore(state)


def test_whatever_is_raised_is_told_in_words() -> None:
    for name in ERRORS:
        with pytest.raises(CannotPickle, match=f"{name}: '?on purpose|recursion required"):
            pickled(Holds(name))
    with pytest.raises(CannotRestore, match="cannot be unpickled here"):
        unpickled(b"nonsense")
