"""Training: what a run directory holds afterwards, and that our walls change nothing."""

import json
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env

from apps.engine.checkpoints import loading, saving
from apps.engine.control import Control
from apps.engine.models.arguments import constructor_arguments
from apps.engine.models.classes import ALGORITHM_CLASSES
from apps.engine.models.devices import device_for
from apps.engine.training.log import EventLog, scalar_logger
from apps.engine.training.training import NoEpisode, train
from apps.errors import DiskFull, EngineError, RunDirectoryBusy
from apps.rundir.directory import RunDirectory
from apps.rundir.log import LogWriter
from apps.spec.run import RunSpec
from tests.builders import TINY, events_of, make_directory
from tests.trainings import train_tiny, weights


def test_a_run_directory_holds_spec_provenance_log_and_checkpoints(
    trained: tuple[RunSpec, RunDirectory],
) -> None:
    spec, directory = trained
    assert RunSpec.from_dict(json.loads(directory.spec.read_text())) == spec
    provenance = json.loads(directory.provenance.read_text())
    assert provenance["device"] == "cpu"
    assert provenance["packages"]["torch"].startswith("2.13.0")
    assert provenance["torch_threads"] == 1
    assert saving.steps_of(directory) == [256]
    statuses = [event["status"] for event in events_of(directory, "status")]
    assert statuses == ["running", "completed"]


def test_every_scalar_and_every_episode_is_in_the_log(
    trained: tuple[RunSpec, RunDirectory],
) -> None:
    _, directory = trained
    keys = {key for event in events_of(directory, "metrics") for key in event["values"]}
    assert {
        "rollout/ep_rew_mean",
        "rollout/ep_len_mean",
        "train/approx_kl",
        "train/clip_fraction",
        "train/entropy_loss",
        "train/explained_variance",
        "train/learning_rate",
        "train/loss",
        "train/n_updates",
        "train/policy_gradient_loss",
        "train/value_loss",
        "time/fps",
    } <= keys
    episodes = events_of(directory, "episode")
    assert len(episodes) > 3
    # CartPole pays 1 a step, so lengths and returns agree and cannot exceed the steps.
    assert all(event["return"] == event["length"] for event in episodes)
    assert 256 - 64 < sum(event["length"] for event in episodes) <= 256


@pytest.mark.parametrize("algorithm", list(TINY))
def test_the_same_seed_twice_gives_the_same_curve_and_policy(
    tmp_path: Path, algorithm: str
) -> None:
    first, _ = train_tiny(tmp_path / "first", algorithm)
    torch.rand(3), np.random.rand(3)  # noqa: NPY002 - stir the global streams
    second, _ = train_tiny(tmp_path / "second", algorithm)
    curves = [
        [(e["step"], e["return"], e["env"]) for e in events_of(directory, "episode")]
        for directory in (first, second)
    ]
    assert curves[0] == curves[1]
    one, two = weights(algorithm, first), weights(algorithm, second)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("algorithm", list(TINY))
def test_another_seed_gives_another_policy(tmp_path: Path, algorithm: str) -> None:
    first, _ = train_tiny(tmp_path / "first", algorithm)
    second, _ = train_tiny(tmp_path / "second", algorithm, seed=2)
    one, two = weights(algorithm, first), weights(algorithm, second)
    assert not all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize("algorithm", list(TINY))
def test_the_policy_is_the_one_that_the_bare_library_trains(
    tmp_path: Path, algorithm: str
) -> None:
    directory, _ = train_tiny(tmp_path / "run", algorithm, n_envs=2)
    spec = RunSpec.from_dict({**TINY[algorithm], "n_envs": 2})
    env = make_vec_env("CartPole-v1", n_envs=2, seed=spec.seed)
    bare = ALGORITHM_CLASSES[algorithm](
        "MlpPolicy", env, seed=spec.seed, device="cpu", **constructor_arguments(spec)
    )
    bare.learn(spec.total_timesteps)
    ours, theirs = weights(algorithm, directory), bare.policy.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_stop_ends_at_the_next_rollout_with_a_checkpoint(tmp_path: Path) -> None:
    spec = RunSpec.from_dict({**TINY["ppo"], "total_timesteps": 100_000})
    directory = make_directory(tmp_path / "run", spec)
    control = Control()
    control.request_stop(reason="enough")
    outcome = train(spec, directory, control)
    assert (outcome.status, outcome.step, outcome.reason) == ("stopped", 0, "enough")
    assert saving.steps_of(directory) == [0]
    last = events_of(directory)[-1]
    assert (last["type"], last["status"], last["reason"]) == ("status", "stopped", "enough")


def test_checkpoints_come_at_the_asked_frequency_and_old_ones_go(tmp_path: Path) -> None:
    spec = RunSpec.from_dict({**TINY["ppo"], "total_timesteps": 640, "save_freq": 64})
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory, keep_checkpoints=2)
    saved = [event["step"] for event in events_of(directory, "checkpoint")]
    assert saved == [64, 128, 192, 256, 320, 384, 448, 512, 576, 640]
    kept = saving.steps_of(directory)
    pointers = json.loads((directory.checkpoints / "manifest.json").read_text())
    assert kept[-2:] == [576, 640]
    assert set(kept) == {pointers["best"], 576, 640}
    assert pointers["last"] == 640


def test_checkpoints_that_ask_for_an_evaluation_are_kept(tmp_path: Path) -> None:
    spec = RunSpec.from_dict(
        {**TINY["ppo"], "total_timesteps": 640, "save_freq": 64, "eval_freq": 128}
    )
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory, keep_checkpoints=1)
    asked = [e["step"] for e in events_of(directory, "checkpoint") if e["evaluate"]]
    assert asked == [128, 256, 384, 512, 640]
    assert set(asked) <= set(saving.steps_of(directory))


def test_milestones_ask_for_an_evaluation_of_each_tenth(tmp_path: Path) -> None:
    directory, _ = train_tiny(tmp_path / "run", "ppo", milestones=True, total_timesteps=640)
    saved = events_of(directory, "checkpoint")
    assert [event["step"] for event in saved if event["evaluate"]] == [*range(64, 641, 64)]
    assert saving.steps_of(directory) == [*range(64, 641, 64)]


def test_a_second_trainer_in_the_same_directory_is_refused(tmp_path: Path) -> None:
    spec = RunSpec.from_dict(TINY["ppo"])
    directory = make_directory(tmp_path / "run", spec)
    with directory.locked(), pytest.raises(RunDirectoryBusy, match="stop it first"):
        train(spec, RunDirectory(directory.path))
    assert not directory.log.exists()


class NeverEnding(gymnasium.Env):
    """An environment whose episodes do not end."""

    observation_space = spaces.Box(-1.0, 1.0, (2,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return np.zeros(2, np.float32), {}

    def step(self, action):
        return np.zeros(2, np.float32), 0.0, False, False, {}


class Breaking(NeverEnding):
    """An environment that raises in its tenth step."""

    def reset(self, *, seed=None, options=None):
        self.count = 0
        return super().reset(seed=seed)

    def step(self, action):
        self.count += 1
        if self.count == 10:
            raise ValueError("the simulator fell over")
        return super().step(action)


class TupleObservations(NeverEnding):
    """An environment like Blackjack: its observation is a tuple."""

    observation_space = spaces.Tuple((spaces.Discrete(3), spaces.Discrete(2)))

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return (0, 0), {}

    def step(self, action):
        return (1, 1), 1.0, True, False, {}


gymnasium.register("NeverEnding-v0", entry_point=NeverEnding)
gymnasium.register("Breaking-v0", entry_point=Breaking)
gymnasium.register("TupleObservations-v0", entry_point=TupleObservations)


def test_a_finished_run_without_an_episode_is_a_failure(tmp_path: Path) -> None:
    spec = RunSpec.from_dict({**TINY["ppo"], "environment": "NeverEnding-v0"})
    directory = make_directory(tmp_path / "run", spec)
    with pytest.raises(NoEpisode, match="raise total_timesteps"):
        train(spec, directory)
    assert events_of(directory)[-1]["status"] == "failed"


def test_an_environment_that_raises_leaves_a_failed_status_with_its_words(tmp_path: Path) -> None:
    spec = RunSpec.from_dict({**TINY["ppo"], "environment": "Breaking-v0"})
    directory = make_directory(tmp_path / "run", spec)
    with pytest.raises(ValueError, match="the simulator fell over"):
        train(spec, directory)
    last = events_of(directory)[-1]
    assert (last["status"], last["reason"]) == ("failed", "ValueError: the simulator fell over")


def test_tuple_observations_are_trained_as_vectors(tmp_path: Path) -> None:
    _, outcome = train_tiny(tmp_path / "run", "ppo", environment="TupleObservations-v0")
    assert outcome.status == "completed"
    assert outcome.episodes == 256


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="use auto or cpu"):
        device_for("cuda", is_image=False)
    assert device_for("auto", is_image=True) == "cpu"


def test_schedules_and_networks_reach_the_library(tmp_path: Path) -> None:
    spec = RunSpec.from_dict(
        {
            **TINY["ppo"],
            "hyperparameters": {
                **TINY["ppo"]["hyperparameters"],
                "learning_rate": "lin_0.001",
                "activation_fn": "relu",
            },
        }
    )
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory)
    rates = [
        event["values"]["train/learning_rate"]
        for event in events_of(directory, "metrics")
        if "train/learning_rate" in event["values"]
    ]
    assert rates == pytest.approx([0.00075, 0.0005, 0.00025, 0.0])
    model = loading.load(ALGORITHM_CLASSES["ppo"], directory, 256, "cpu")
    assert [layer.out_features for layer in model.policy.mlp_extractor.policy_net[::2]] == [8]
    assert isinstance(model.policy.mlp_extractor.policy_net[1], torch.nn.ReLU)


def test_a_full_disk_fails_the_run_and_keeps_the_log_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = RunSpec.from_dict({**TINY["ppo"], "total_timesteps": 100_000})
    directory = make_directory(tmp_path / "run", spec)
    most_lines = 20
    real_write = __import__("os").write

    def write(fd: int, data: bytes) -> int:
        if directory.log.exists() and directory.log.read_bytes().count(b"\n") > most_lines:
            return real_write(fd, data[:11])
        return real_write(fd, data)

    monkeypatch.setattr("apps.rundir.directory.os.write", write)
    with pytest.raises(DiskFull, match="free some space"):
        train(spec, directory)
    assert directory.log.read_bytes().endswith(b"\n")
    assert len(events_of(directory)) > most_lines


def test_every_kind_of_number_that_a_library_logs_is_kept(tmp_path: Path) -> None:
    directory = make_directory(tmp_path / "run", RunSpec.from_dict(TINY["ppo"]))
    with LogWriter(directory.log) as writer:
        logger = scalar_logger(EventLog(writer))
        for key, value in {
            "plain": 1.5,
            "numpy": np.float32(0.5),
            "array": np.ones((1, 1)),
            "tensor": torch.tensor(2.0),
            "vector": torch.ones(3),
            "flag": True,
            "words": "a",
        }.items():
            logger.record(key, value)
        logger.dump(7)
        logger.close()
    (event,) = events_of(directory, "metrics")
    assert event["values"] == {"plain": 1.5, "numpy": 0.5, "array": 1.0, "tensor": 2.0}
