"""Schedules: their values, and what becomes of them where a run goes on for longer."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stable_baselines3.common.utils import LinearSchedule

from apps.engine.checkpoints import saving
from apps.engine.models.arguments import constructor_arguments
from apps.engine.training.training import train
from apps.rundir.checkpoints import copy_checkpoint
from apps.rundir.directory import RunDirectory
from apps.spec import schedules
from apps.spec.run import RunSpec
from tests.builders import events_of, make_directory

DECAY = {"n_steps": 64, "batch_size": 64, "n_epochs": 1, "net_arch": [8]}
PPO = {**DECAY, "learning_rate": "lin_0.001", "clip_range": "lin_0.2"}
DQN = {"learning_starts": 20, "buffer_size": 500, "net_arch": [8], "exploration_fraction": 0.5}


def spec_of(algorithm: str, hyperparameters: dict[str, Any], **fields: Any) -> RunSpec:
    return RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "total_timesteps": 640,
            "hyperparameters": hyperparameters,
            **fields,
        }
    )


def continued(folder: Path, spec: RunSpec, schedule_timesteps: int) -> RunDirectory:
    """Train a spec, and go on from its end for as many steps again."""
    parent = make_directory(folder / "parent", spec)
    train(spec, parent)
    more = replace(spec, total_timesteps=1280, schedule_timesteps=schedule_timesteps)
    child = make_directory(folder / "child", more)
    child.append(copy_checkpoint(parent, child, saving.steps_of(parent)[-1]))
    train(more, child)
    return child


def logged(directory: RunDirectory, key: str) -> list[float]:
    metrics = events_of(directory, "metrics")
    return [event["values"][key] for event in metrics if key in event["values"]]


def notes(directory: RunDirectory) -> dict[str, str]:
    (attempt,) = events_of(directory, "attempt")
    assert attempt["fidelity"] == "exact"
    return dict(attempt["notes"])


def test_a_learning_rate_stays_where_it_ended_and_the_run_says_so(tmp_path: Path) -> None:
    child = continued(tmp_path, spec_of("ppo", PPO), 640)
    assert set(logged(child, "train/learning_rate")) == {0.0}
    assert set(logged(child, "train/clip_range")) == {0.0}
    said = notes(child)["schedules"]
    assert "ended at step 640 and stay there: clip_range 0, learning_rate 0" in said
    assert "nothing more is learnt" in said


def test_exploration_stays_where_it_ended(tmp_path: Path) -> None:
    child = continued(tmp_path, spec_of("dqn", DQN), 640)
    assert set(logged(child, "rollout/exploration_rate")) == {0.05}
    assert "exploration 0.05" in notes(child)["schedules"]


def test_schedules_that_are_stretched_rise_again_and_the_run_says_so(tmp_path: Path) -> None:
    child = continued(tmp_path, spec_of("ppo", PPO), 0)
    assert max(logged(child, "train/learning_rate")) == pytest.approx(0.001 * 0.45, rel=0.01)
    said = notes(child)["schedules"]
    assert "learning_rate goes on at 0.0005, after 0" in said


def test_a_run_without_schedules_has_nothing_to_say_of_them(tmp_path: Path) -> None:
    child = continued(tmp_path, spec_of("ppo", DECAY), 640)
    assert notes(child) == {}


@given(
    st.integers(1, 10**6),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.floats(1e-6, 1.0),
    st.floats(0.0, 1.0),
)
def test_the_value_at_a_step_is_the_library_s(
    total: int, length: int, step: int, rate: float, fraction: float
) -> None:
    dqn = {**DQN, "learning_rate": f"lin_{rate}", "exploration_fraction": fraction}
    spec = spec_of("dqn", dqn, total_timesteps=total, schedule_timesteps=length)
    step = min(step, total)
    arguments = constructor_arguments(spec)
    remaining = 1 - step / total
    values = schedules.values_at(spec, step)
    assert values["learning_rate"] == pytest.approx(
        arguments["learning_rate"](remaining), abs=1e-9
    )
    share = arguments["exploration_fraction"]
    exploration = LinearSchedule(1.0, 0.05, share)(remaining) if share else 0.05
    assert values["exploration"] == pytest.approx(exploration, abs=1e-6)


def test_a_schedule_over_the_whole_run_is_built_as_ever() -> None:
    (rate,) = [constructor_arguments(spec_of("ppo", PPO))["learning_rate"]]
    assert vars(rate) == vars(LinearSchedule(0.001, 0.0, 1.0))
