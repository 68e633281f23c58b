"""Environments in processes of their own: the same run, resumed, and nothing left behind."""

import signal
from pathlib import Path
from typing import Any

import gymnasium
import psutil
import pytest

from apps.engine.control import Control
from apps.engine.stepping import choosing
from apps.engine.stepping.choosing import Choice, suiting
from apps.engine.stepping.subprocesses import ProcessEnded
from apps.engine.training.training import train
from apps.rundir.files import read_json
from apps.spec.run import RunSpec
from tests.builders import events_of, make_directory, spec_of
from tests.trainer_processes import send, start, wait_for_training
from tests.trainings import assert_same_run, train_with_pauses
from tests.worlds.misbehaving import is_gone
from tests.worlds.short_walk import ShortWalk

WALKS = "tests.worlds.short_walk"
gymnasium.register("OnlyHere-v0", entry_point=lambda: ShortWalk())


@pytest.mark.parametrize(
    ("algorithm", "environment", "changes"),
    [
        ("ppo", "Pendulum-v1", {"normalize": True}),
        ("dqn", f"{WALKS}:PretendingWalk-v0", {}),
    ],
)
def test_processes_give_the_run_that_one_process_gives_and_go_on_exactly(
    tmp_path: Path, algorithm: str, environment: str, changes: dict[str, Any]
) -> None:
    spec = spec_of(algorithm, environment, n_envs=2, total_timesteps=600, **changes)
    own = spec_of(
        algorithm,
        environment,
        n_envs=2,
        total_timesteps=600,
        vectorization="subprocess",
        **changes,
    )
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    broken, _ = train_with_pauses(tmp_path / "broken", own, 250)
    assert read_json(broken.provenance)["vectorization"]["used"] == "subprocess"
    assert [event["fidelity"] for event in events_of(broken, "attempt")] == ["exact"]
    assert_same_run(spec, whole, broken)


def test_a_process_s_own_random_streams_are_seeded_and_go_on(tmp_path: Path) -> None:
    spec = spec_of(
        "ppo",
        f"{WALKS}:TroubledWalk-v0",
        n_envs=2,
        total_timesteps=400,
        vectorization="subprocess",
    )
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    broken, _ = train_with_pauses(tmp_path / "broken", spec, 200)
    assert_same_run(spec, whole, broken)


def test_an_environment_that_raises_in_its_process_fails_the_run_in_words(tmp_path: Path) -> None:
    spec = spec_of(
        "ppo",
        f"{WALKS}:TroubledWalk-v0",
        n_envs=2,
        vectorization="subprocess",
        environment_kwargs={"raises_at": 7},
    )
    directory = make_directory(tmp_path / "run", spec)
    with pytest.raises(ProcessEnded, match=r"environment \d.*\(code 1\)"):
        train(spec, directory, Control())
    assert "train.log" in events_of(directory, "status")[-1]["reason"]


def test_what_cannot_be_made_in_a_process_of_its_own_is_stepped_here(tmp_path: Path) -> None:
    spec = spec_of("ppo", "OnlyHere-v0", vectorization="subprocess", total_timesteps=100)
    directory, outcome = train_with_pauses(tmp_path / "run", spec)
    assert outcome.status == "completed"
    chosen = read_json(directory.provenance)["vectorization"]
    assert (chosen["used"], chosen["is_fallback"]) == ("dummy", True)
    assert chosen["reason"] in [event.get("reason") for event in events_of(directory, "status")]


def test_processes_end_with_a_trainer_that_is_killed(tmp_path: Path) -> None:
    spec = spec_of(
        "ppo", "CartPole-v1", n_envs=2, vectorization="subprocess", total_timesteps=10_000_000
    )
    directory = make_directory(tmp_path / "run", spec)
    with start() as process:
        send(process, {"job": "train", "directory": str(directory.path)})
        wait_for_training(directory, process)
        began = psutil.Process(process.pid).children(recursive=True)
        assert len(began) >= 3, "two environments, and whoever forks them"
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(began, timeout=10)
    assert all(is_gone(child.pid) for child in alive)


@pytest.mark.parametrize(
    ("step_s", "cores", "total_timesteps", "used"),
    [
        (10e-6, 8, 10**9, "dummy"),
        (2e-3, 2, 10**6, "subprocess"),
        (2e-3, 8, 10**6, "subprocess"),
        (2e-3, 8, 10**4, "dummy"),  # It would be over before the processes had begun.
        (100e-6, 2, 10**7, "dummy"),
    ],
)
def test_processes_are_chosen_where_they_pay(
    step_s: float, cores: int, total_timesteps: int, used: str
) -> None:
    spec = RunSpec.from_dict({"n_envs": 8, "total_timesteps": total_timesteps})
    choice = suiting(spec, step_s, cores)
    assert (choice.asked, choice.used) == ("auto", used)
    assert choice.figures["step_s"] == step_s


def test_a_run_goes_on_as_it_began_without_another_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = iter(["subprocess"])
    monkeypatch.setattr(choosing, "usable_cores", lambda: 2)
    monkeypatch.setattr(choosing, "suiting", lambda *_: Choice("auto", next(choices)))
    spec = spec_of("ppo", "CartPole-v1", n_envs=2, total_timesteps=400)
    directory, _ = train_with_pauses(tmp_path / "run", spec, 200)
    chosen = read_json(directory.provenance)["vectorization"]
    assert (chosen["asked"], chosen["used"], chosen["reason"]) == (
        "auto",
        "subprocess",
        "as it began",
    )
    assert events_of(directory, "attempt")[0]["fidelity"] == "exact"
