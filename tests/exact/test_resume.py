"""A resumed run is the same run, bit for bit, whatever ended it."""

import json
import pickle
import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.utils import EzPickle

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.ids import is_installed
from apps.engine.checkpoints import buffer, saving
from apps.engine.control import Control
from apps.engine.environments.journal import (
    MAX_JOURNAL_STEPS,
    Journal,
    only_pretends_to_pickle,
    with_journal,
)
from apps.engine.models import building, devices
from apps.engine.stepping.making import make_env_for
from apps.engine.training.callback import TrainingCallback
from apps.engine.training.log import EventLog
from apps.engine.training.training import Attempt, train
from apps.errors import DamagedCheckpoint, RefusedFile
from apps.rundir.checkpoints import copy_checkpoint
from apps.rundir.directory import RunDirectory, take_weights
from apps.rundir.files import read_json, sha256_of
from apps.rundir.log import LogWriter
from apps.spec.run import RunSpec
from tests.builders import events_of, make_directory, spec_of
from tests.trainer_processes import send, start
from tests.trainings import assert_same_run, train_with_pauses, visible, wait_for_step, weights

CASES = [
    ("ppo", "CartPole-v1", {"n_envs": 2}, {}),
    ("ppo", "Pendulum-v1", {}, {"use_sde": True}),
    ("ppo", "FrozenLake-v1", {}, {}),
    ("dqn", "CartPole-v1", {}, {}),
    ("dqn", "FrozenLake-v1", {"n_envs": 3}, {}),
    ("ppo", "Pendulum-v1", {"n_envs": 2, "normalize": True}, {}),
    ("dqn", "CartPole-v1", {"normalize": True}, {}),
]


class Pretender(EzPickle, gymnasium.Env):
    """Like Box2D's environments: it pickles, but only its constructor's arguments."""

    observation_space = spaces.Box(-10.0, 10.0, (2,))
    action_space = spaces.Discrete(3)

    def __init__(self) -> None:
        EzPickle.__init__(self)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.position = self.np_random.normal(size=2)
        self.steps = 0
        return self.position.astype(np.float32), {}

    def step(self, action):
        self.position = self.position + self.np_random.normal(size=2) * 0.1 + (action - 1) * 0.1
        self.steps += 1
        is_over = bool(np.abs(self.position).max() > 2.0)
        reward = -float(np.abs(self.position).sum())
        return self.position.astype(np.float32), reward, is_over, self.steps >= 60, {}


class Forgetful(Pretender):
    """An environment whose past decides its future, in a way nobody can capture."""

    def step(self, action):
        self.drift = getattr(self, "drift", 0.0) + random.random() * time.monotonic() % 0.01
        observation, *rest = super().step(action)
        return (observation + self.drift).astype(np.float32), *rest


gymnasium.register("Pretender-v0", entry_point=Pretender)
gymnasium.register("Forgetful-v0", entry_point=Forgetful)


@pytest.mark.parametrize(("algorithm", "environment", "changes", "hyperparameters"), CASES)
def test_a_paused_run_ends_as_the_one_that_was_never_paused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    algorithm: str,
    environment: str,
    changes: dict[str, Any],
    hyperparameters: dict[str, Any],
) -> None:
    monkeypatch.setattr(buffer, "MAX_CHUNK_ROWS", 64)
    spec = spec_of(algorithm, environment, hyperparameters=hyperparameters, **changes)
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    broken, outcome = train_with_pauses(tmp_path / "broken", spec, 200, 500, 900)
    assert outcome.status == "completed"
    assert [event["fidelity"] for event in events_of(broken, "attempt")] == ["exact"] * 3
    assert_same_run(spec, whole, broken)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_an_environment_that_cannot_be_pickled_is_played_again(
    tmp_path: Path, algorithm: str
) -> None:
    assert only_pretends_to_pickle(Pretender())
    spec = spec_of(algorithm, "Pretender-v0", n_envs=2)
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    broken, _ = train_with_pauses(tmp_path / "broken", spec, 150, 400)
    assert [event["fidelity"] for event in events_of(broken, "attempt")] == ["exact"] * 2
    assert_same_run(spec, whole, broken)


def test_an_environment_that_nobody_can_capture_makes_the_run_warm_and_says_so(
    tmp_path: Path,
) -> None:
    spec = spec_of("ppo", "Forgetful-v0")
    broken, outcome = train_with_pauses(tmp_path / "broken", spec, 200)
    assert outcome.status == "completed"
    (attempt,) = events_of(broken, "attempt")
    assert attempt["fidelity"] == "warm"
    assert attempt["notes"] == {
        "environment state": "played again, it did not show what it showed before"
    }


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize(("algorithm", "total"), [("ppo", 6000), ("dqn", 3000)])
def test_a_run_killed_three_times_ends_as_the_one_that_was_never_killed(
    tmp_path: Path, algorithm: str, total: int
) -> None:
    spec = spec_of(algorithm, "CartPole-v1", total_timesteps=total, save_freq=total // 20)
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    directory = make_directory(tmp_path / "killed", spec)
    pick = random.Random(algorithm)
    for number in (1, 2, 3):
        process = start("--supervised")
        send(process, {"job": "train", "directory": str(directory.path), "attempt": number})
        wait_for_step(directory, pick.randint(number * total // 6, number * total // 4))
        process.send_signal(signal.SIGKILL)
        process.communicate()
    train(spec, directory, attempt=Attempt(4))
    attempts = events_of(directory, "attempt")
    assert [event["fidelity"] for event in attempts] == ["exact"] * 3
    assert all(event["from_step"] > 0 for event in attempts)
    assert_same_run(spec, whole, directory)
    assert not list(directory.path.rglob("*.tmp"))


@pytest.mark.parametrize("harm", ["truncate", "delete", "manifest", "unrecorded", "no manifest"])
def test_a_damaged_checkpoint_costs_time_but_not_exactness(tmp_path: Path, harm: str) -> None:
    spec = spec_of("ppo", "CartPole-v1", save_freq=128)
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    directory = make_directory(tmp_path / "broken", spec)
    control = Control()
    rollout_start = TrainingCallback._on_rollout_start

    def on_rollout_start(self: TrainingCallback) -> None:
        if self.num_timesteps >= 600:
            control.request_stop("paused")
        rollout_start(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TrainingCallback, "_on_rollout_start", on_rollout_start)
        train(spec, directory, control)
    *_, before, last = saving.steps_of(directory)
    folder = directory.checkpoints / str(last)
    manifests = {
        step: sha256_of(directory.checkpoints / str(step) / "manifest.json")
        for step in saving.steps_of(directory)
    }
    if harm == "manifest":
        manifests[last] = "0" * 64
    elif harm == "unrecorded":
        del manifests[last]
    elif harm == "truncate":
        (folder / "state.pkl").write_bytes((folder / "state.pkl").read_bytes()[:-1])
    elif harm == "no manifest":
        (folder / "manifest.json").unlink()
    elif harm == "delete":
        (folder / "model.zip").unlink()
    train(spec, directory, attempt=Attempt(2, manifests))
    (attempt,) = events_of(directory, "attempt")
    assert (attempt["from_step"], attempt["fidelity"]) == (before, "exact")
    assert f"checkpoint {last}" in attempt["notes"]
    assert_same_run(spec, whole, directory)


def test_without_an_intact_checkpoint_a_later_attempt_starts_over(tmp_path: Path) -> None:
    spec = spec_of("ppo", "CartPole-v1")
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    directory = make_directory(tmp_path / "broken", spec)
    directory.append(*events_of(whole)[:20])
    train(spec, directory, attempt=Attempt(2))
    (attempt,) = events_of(directory, "attempt")
    assert (attempt["from_step"], attempt["fidelity"]) == (0, "fresh")
    assert "starts over at step 0" in attempt["notes"]["start"]
    assert_same_run(spec, whole, directory)


def test_a_child_with_more_steps_goes_on_from_its_parent(tmp_path: Path) -> None:
    spec = spec_of("dqn", "CartPole-v1")
    parent, _ = train_with_pauses(tmp_path / "parent", spec)
    longer = spec_of("dqn", "CartPole-v1", total_timesteps=1800)
    child = make_directory(tmp_path / "child", longer)
    child.append(copy_checkpoint(parent, child, 1200))
    outcome = train(longer, child)
    assert (outcome.status, outcome.step) == ("completed", 1800)
    (attempt,) = events_of(child, "attempt")
    assert (attempt["from_step"], attempt["fidelity"], attempt["notes"]) == (1200, "exact", {})
    assert min(event["step"] for event in events_of(child, "episode")) > 1200


def test_a_child_is_evaluated_and_saved_at_its_own_frequencies(tmp_path: Path) -> None:
    spec = spec_of("ppo", "CartPole-v1", total_timesteps=300, save_freq=200)
    parent, _ = train_with_pauses(tmp_path / "parent", spec)
    more = replace(spec, total_timesteps=1300, save_freq=10_000, eval_freq=500)
    child = make_directory(tmp_path / "child", more)
    child.append(copy_checkpoint(parent, child, 320))
    train(more, child)
    saved = [event["step"] for event in events_of(child, "checkpoint")]
    assert saved == [320, 512, 1024, 1344]  # Rollouts have 64 steps.


def test_a_branch_into_another_environment_keeps_the_weights_and_says_what_is_new(
    tmp_path: Path,
) -> None:
    spec = spec_of("ppo", "CartPole-v1")
    parent, _ = train_with_pauses(tmp_path / "parent", spec)
    other = spec_of("ppo", "CartPole-v0", total_timesteps=1600)
    child = make_directory(tmp_path / "child", other)
    child.append(copy_checkpoint(parent, child, saving.steps_of(parent)[-1]))
    train(other, child)
    (attempt,) = events_of(child, "attempt")
    assert attempt["fidelity"] == "warm"
    assert attempt["notes"] == {"environment state": "the environments are others now"}


def test_a_branch_whose_networks_do_not_fit_is_refused_in_words(tmp_path: Path) -> None:
    spec = spec_of("ppo", "CartPole-v1")
    parent, _ = train_with_pauses(tmp_path / "parent", spec)
    wider = spec_of("ppo", "CartPole-v1", total_timesteps=1600, hyperparameters={"net_arch": [9]})
    child = make_directory(tmp_path / "child", wider)
    child.append(copy_checkpoint(parent, child, saving.steps_of(parent)[-1]))
    with pytest.raises(DamagedCheckpoint, match="keeps net_arch"):
        train(wider, child)
    assert events_of(child)[-1]["status"] == "failed"


def from_weights(path: Path, **changes: Any) -> RunSpec:
    return replace(spec_of("ppo", "CartPole-v1", **changes), weights=sha256_of(path))


def test_a_run_that_starts_from_weights_says_so_and_goes_on_exactly(
    tmp_path: Path, trained: tuple[RunSpec, RunDirectory]
) -> None:
    init = trained[1].checkpoints / "256" / "model.zip"
    spec = from_weights(init)
    whole, outcome = train_with_pauses(tmp_path / "whole", spec, init=init)
    assert (outcome.status, outcome.step) == ("completed", 1216)
    broken, _ = train_with_pauses(tmp_path / "broken", spec, 200, 700, init=init)
    told = [
        [(event["from_step"], event["fidelity"]) for event in events_of(directory, "attempt")]
        for directory in (whole, broken)
    ]
    assert told == [[(0, "weights-only")], [(0, "weights-only"), (256, "exact"), (704, "exact")]]
    assert_same_run(spec, whole, broken)
    fresh, _ = train_with_pauses(tmp_path / "fresh", spec_of("ppo", "CartPole-v1"))
    assert visible(fresh) != visible(whole)


def test_without_a_checkpoint_it_starts_from_its_weights_again_and_never_without_them(
    tmp_path: Path, trained: tuple[RunSpec, RunDirectory]
) -> None:
    init = trained[1].checkpoints / "256" / "model.zip"
    spec = from_weights(init, total_timesteps=128)
    once, _ = train_with_pauses(tmp_path / "once", spec, init=init)
    again = make_directory(tmp_path / "again", spec)
    with pytest.raises(RefusedFile, match="is gone"):
        train(spec, again)
    assert events_of(again)[-1]["status"] == "failed"
    take_weights(init, again, is_ours=True)
    train(spec, again, attempt=Attempt(2))
    assert events_of(again, "attempt")[-1]["fidelity"] == "weights-only"
    first, second = weights(spec.algorithm, once), weights(spec.algorithm, again)
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_what_a_killed_trainer_left_half_written_is_cleared_away(tmp_path: Path) -> None:
    spec = spec_of("ppo", "CartPole-v1", total_timesteps=128)
    directory = make_directory(tmp_path / "run", spec)
    (directory.checkpoints / ".64.tmp").mkdir(parents=True)
    (directory.checkpoints / ".64.tmp" / "model.zip").write_bytes(b"half")
    (directory.checkpoints / ".manifest.json.1.ab.tmp").write_bytes(b"half")
    train(spec, directory, attempt=Attempt(2))
    assert not list(directory.path.rglob("*.tmp"))


def test_a_run_goes_on_with_as_many_threads_as_it_began_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of("ppo", "CartPole-v1", total_timesteps=192)
    directory = make_directory(tmp_path / "run", spec)
    monkeypatch.setattr(building, "threads_for", lambda *_: 2)
    train(spec, directory, Control(is_stop_requested=True))
    monkeypatch.undo()
    try:
        train(spec, directory, attempt=Attempt(2))
        assert torch.get_num_threads() == 2
        assert read_json(directory.provenance)["torch_threads"] == 2
    finally:
        torch.set_num_threads(1)


def test_a_large_update_goes_on_in_as_many_threads_as_it_began(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec.from_dict(
        {
            "algorithm": "sac",
            "environment": "Pendulum-v1",
            "total_timesteps": 240,
            "hyperparameters": {"batch_size": 256, "learning_starts": 100},
        }
    )
    monkeypatch.setattr(devices, "DEFAULT_THREADS", 2)
    try:
        whole, _ = train_with_pauses(tmp_path / "whole", spec)
        assert read_json(whole.provenance)["torch_threads"] == 2
        broken, _ = train_with_pauses(tmp_path / "broken", spec, 150)
        assert read_json(broken.provenance)["torch_threads"] == 2
    finally:
        torch.set_num_threads(1)
    assert_same_run(spec, whole, broken)


def test_a_checkpoint_is_saved_on_request(tmp_path: Path) -> None:
    spec = spec_of("ppo", "CartPole-v1")
    directory = make_directory(tmp_path / "run", spec)
    control = Control(is_save_requested=True)
    train(spec, directory, control)
    assert [event["step"] for event in events_of(directory, "checkpoint")] == [0, 1216]


@pytest.mark.parametrize(
    ("save_freq", "stall_s", "since_s", "may_save"),
    [
        (0, 0.01, 4, False),
        (0, 0.01, 6, True),
        (0, 0.5, 40, False),
        (0, 0.5, 60, True),
        (100, 0.5, 0, True),
    ],
)
def test_at_the_default_frequency_saving_takes_a_hundredth_of_the_time(
    tmp_path: Path, save_freq: int, stall_s: float, since_s: float, may_save: bool
) -> None:
    spec = spec_of("ppo", "CartPole-v1", save_freq=save_freq)
    directory = make_directory(tmp_path / "run", spec)
    with LogWriter(directory.log) as writer:
        callback = TrainingCallback(spec, directory, EventLog(writer), Control(), 3)
        callback._stall_s = stall_s
        callback._saved_at -= since_s
        assert callback._may_save() == may_save


def test_plain_environments_are_pickled_and_pretenders_journaled() -> None:
    assert with_journal(env := gymnasium.make("CartPole-v1")) is env
    journaled = with_journal(gymnasium.make("Pretender-v0"))
    assert isinstance(journaled, Journal)


def test_a_journal_brings_an_environment_to_where_it_was() -> None:
    one, other = Journal(Pretender()), Journal(Pretender())
    one.reset(seed=3)
    for action in (0, 1, 2, 2, 1):
        one.step(action)
    one.reset()
    for action in (2, 0, 1):
        one.step(action)
    episode = one.so_far()
    assert episode is not None
    other.reset(seed=99)
    other.play_again(episode)
    assert other.so_far() is not None
    ahead = [journal.step(2)[0].tobytes() for journal in (one, other)]
    assert ahead[0] == ahead[1]


def played_on(journal: Journal, actions: list[Any]) -> list[Any]:
    """Play actions, over as many episodes as it takes, and return all that was shown."""
    shown: list[Any] = []
    for action in actions:
        observation, *rest = journal.step(action)
        shown.append((observation.tobytes(), *rest))
        if rest[1] or rest[2]:
            shown.append(journal.reset()[0].tobytes())
    return shown


@pytest.mark.parametrize(
    ("environment", "changes"),
    [
        ("LunarLander-v3", {}),
        ("HalfCheetah-v5", {}),
        ("ALE/Breakout-v5", {}),
        ("ALE/Breakout-v5", {"wrappers": [], "environment_kwargs": {"obs_type": "ram"}}),
    ],
)
def test_a_journal_goes_on_as_the_environment_would_have(
    environment: str, changes: dict[str, Any]
) -> None:
    if not is_installed(ENVIRONMENTS[environment].family):
        pytest.skip(f"{ENVIRONMENTS[environment].family} is missing")
    spec = RunSpec.from_dict({"environment": environment, **changes})
    one, other = Journal(make_env_for(spec)), Journal(make_env_for(spec))
    one.action_space.seed(1)
    actions = [one.action_space.sample() for _ in range(900)]
    one.reset(seed=3)
    played_on(one, actions[:600])
    episode = pickle.loads(pickle.dumps(one.so_far()))
    other.reset(seed=99)
    played_on(other, actions[:70])
    other.play_again(episode)
    assert played_on(one, actions[600:]) == played_on(other, actions[600:])


def test_a_journal_gives_up_on_an_episode_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("apps.engine.environments.journal.MAX_JOURNAL_STEPS", 3)
    assert MAX_JOURNAL_STEPS > 3
    journal = Journal(Pretender())
    journal.reset(seed=1)
    for _ in range(5):
        journal.step(1)
    assert journal.so_far() is None


def test_a_state_file_that_is_not_ours_is_never_unpickled(tmp_path: Path) -> None:
    spec = spec_of("ppo", "CartPole-v1", save_freq=640)
    directory, _ = train_with_pauses(tmp_path / "run", spec, 700)
    folder = directory.checkpoints / str(saving.steps_of(directory)[-1])
    evil = b"cos\nsystem\n(S'touch " + str(tmp_path / "owned").encode() + b"'\ntR."
    (folder / "state.pkl").write_bytes(evil)
    train(spec, directory, attempt=Attempt(3))
    assert not (tmp_path / "owned").exists()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert "state.pkl" in manifest["files"]


def test_a_damaged_manifest_stops_no_later_save(tmp_path: Path) -> None:
    spec = spec_of("ppo", "CartPole-v1", total_timesteps=256, save_freq=64)
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory)
    assert saving.steps_of(directory) == [128, 192, 256]
    for damaged in (directory.checkpoints, directory.checkpoints / "192"):
        (damaged / "manifest.json").write_bytes(b"{")
    longer = replace(spec, total_timesteps=512)
    outcome = train(longer, directory, keep_checkpoints=1, attempt=Attempt(2))
    assert (outcome.status, outcome.step) == ("completed", 512)
    pointers = read_json(directory.checkpoints / "manifest.json")
    assert pointers["last"] == 512
    assert 192 not in saving.steps_of(directory)
