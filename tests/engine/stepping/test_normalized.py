"""Normalisation: what a spec may say of it, what is seen by it, and what comes back of it."""

from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.normalizing import NORMALIZATION, what_is_normalized
from apps.engine.environments.making import describe
from apps.engine.models.arguments import constructor_arguments
from apps.engine.models.building import build_model
from apps.engine.playing.evaluation import Player, evaluate, play
from apps.engine.stepping.making import make_vec_env_for
from apps.engine.stepping.normalized import STATISTICS, FrozenStatistics, restore, save_statistics
from apps.engine.training.training import train
from apps.errors import DamagedCheckpoint, InvalidSpec
from apps.rundir.checkpoints import copy_checkpoint
from apps.rundir.directory import RunDirectory
from apps.spec.evaluation import EvalSpec
from apps.spec.fitting import check_fit
from apps.spec.run import RunSpec
from tests.builders import events_of, make_directory
from tests.trainings import visible, weights

FULL = {
    "norm_obs": True,
    "norm_reward": True,
    "clip_obs": 10.0,
    "clip_reward": 10.0,
    "gamma": None,
    "epsilon": 1e-8,
}
REWARDS_ALONE = {"norm_obs": False}


class Stairs(gymnasium.Env[Any, Any]):
    """Four steps up; sees its height in metres and a constant, and earns 100 a step."""

    observation_space = spaces.Box(-1000.0, 1000.0, (2,))
    action_space = spaces.Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.height = 0
        return self.seen(), {}

    def step(self, action: Any) -> Any:
        self.height += 1
        return self.seen(), 100.0, self.height == 4, False, {}

    def seen(self) -> Any:
        return np.array([self.height, 7.0], dtype=np.float32)


class Mixed(Stairs):
    """Shows the same as a dictionary, beside a picture and a category."""

    observation_space = spaces.Dict(
        {
            "height": spaces.Box(-1000.0, 1000.0, (2,)),
            "picture": spaces.Box(0, 255, (36, 40, 3), np.uint8),
            "floor": spaces.Discrete(5),
        }
    )

    def seen(self) -> Any:
        picture = np.full((36, 40, 3), self.height, np.uint8)
        return {"height": super().seen(), "picture": picture, "floor": self.height}


class Picture(Stairs):
    """Shows a picture only."""

    observation_space = spaces.Box(0, 255, (36, 40, 3), np.uint8)

    def seen(self) -> Any:
        return np.full((36, 40, 3), self.height, np.uint8)


class Floors(Stairs):
    """Shows a dictionary of categories only."""

    observation_space = spaces.Dict({"floor": spaces.Discrete(5)})

    def seen(self) -> Any:
        return {"floor": self.height}


for kind in (Stairs, Mixed, Picture, Floors):
    gymnasium.register(f"{kind.__name__}-v0", entry_point=kind)


def spec_of(algorithm: str = "ppo", environment: str = "Stairs-v0", **changes: Any) -> RunSpec:
    hyperparameters = {
        "ppo": {"n_steps": 16, "batch_size": 16, "n_epochs": 1, "net_arch": [4]},
        "dqn": {"learning_starts": 16, "buffer_size": 100, "net_arch": [4]},
    }[algorithm]
    return RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": environment,
            "total_timesteps": 64,
            "hyperparameters": hyperparameters,
            **changes,
        }
    )


def refused(normalize: Any) -> dict[str, str]:
    with pytest.raises(InvalidSpec) as caught:
        spec_of(normalize=normalize)
    return {error.field: error.message for error in caught.value.errors}


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (None, None),
        (False, None),
        (True, FULL),
        ({}, FULL),
        (
            {"clip_obs": "5", "norm_reward": "false"},
            {**FULL, "clip_obs": 5.0, "norm_reward": False},
        ),
        ({"gamma": 0, "norm_obs": False}, {**FULL, "gamma": 0.0, "norm_obs": False}),
    ],
)
def test_a_spec_names_every_keyword_or_none(given: Any, kept: Any) -> None:
    spec = spec_of(normalize=given)
    assert spec.normalize == kept
    assert RunSpec.from_dict(spec.as_dict()) == spec


@pytest.mark.parametrize(
    ("given", "field", "said"),
    [
        ("yes", "normalize", "'yes' is not true, false or an object"),
        ([], "normalize", "is not true, false or an object"),
        ({"training": False}, "normalize.training", "unknown; allowed: norm_obs"),
        ({"norm_obs": 3}, "normalize.norm_obs", "it must be true or false"),
        ({"clip_obs": 0}, "normalize.clip_obs", "a number from 0.01 to"),
        ({"gamma": 1.5}, "normalize.gamma", "a number from 0 to 1, or null"),
        ({"epsilon": None}, "normalize.epsilon", "it must be a number"),
        ({"norm_obs": False, "norm_reward": False}, "normalize", "nothing is left to normalise"),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(given: Any, field: str, said: str) -> None:
    assert said in refused(given)[field]


def test_what_is_given_wins_over_the_preset_keyword_by_keyword() -> None:
    tuned = {"algorithm": "ars", "environment": "Pendulum-v1", "preset": "high_score"}
    rewards_as_they_are = {**FULL, "norm_reward": False}
    assert RunSpec.from_dict(tuned).normalize == rewards_as_they_are
    clipped = RunSpec.from_dict({**tuned, "normalize": {"clip_obs": 5}})
    assert clipped.normalize == {**rewards_as_they_are, "clip_obs": 5.0}
    off = RunSpec.from_dict({**tuned, "normalize": None})
    assert off.normalize is None
    assert RunSpec.from_dict(off.as_dict()) == off


def test_a_spec_from_before_there_was_a_choice_normalises_nothing() -> None:
    tuned = {"algorithm": "a2c", "environment": "Pendulum-v1", "preset": "high_score"}
    stored = RunSpec.from_dict(tuned).as_dict()
    assert stored.pop("normalize") == FULL
    assert RunSpec.from_dict(stored).normalize is None


def test_the_discount_is_the_run_s_unless_it_is_given() -> None:
    def discount(algorithm: str, hyperparameters: dict[str, Any], **normalize: Any) -> float:
        spec = RunSpec.from_dict(
            {
                "algorithm": algorithm,
                "environment": "Stairs-v0",
                "normalize": normalize,
                "hyperparameters": hyperparameters,
            }
        )
        env = make_vec_env_for(spec)
        assert isinstance(env, VecNormalize)
        return env.gamma

    assert discount("ppo", {"gamma": 0.5}) == 0.5
    assert discount("ppo", {"gamma": 0.5}, gamma=0.0) == 0.0
    assert discount("ars", {}) == 0.99


# What can be normalised.


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ("FrozenLake-v1", "they are discrete"),
        ("Picture-v0", "they are pictures"),
        ("Floors-v0", "none of floor is a vector of numbers"),
    ],
)
def test_observations_without_a_mean_are_refused_before_and_at_construction(
    environment: str, why: str
) -> None:
    spec = spec_of(environment=environment, normalize=True)
    description = describe(environment)
    with pytest.raises(InvalidSpec, match=why):
        check_fit(spec, description)
    with pytest.raises(InvalidSpec, match="set norm_obs to false"):
        make_vec_env_for(spec)
    alone = spec_of(environment=environment, normalize=REWARDS_ALONE)
    check_fit(alone, description)
    make_vec_env_for(alone)


def test_of_a_dictionary_only_numbers_on_a_scale_are_normalised(tmp_path: Path) -> None:
    env = make_vec_env_for(spec_of(environment="Mixed-v0", normalize=True))
    env.reset()
    seen, *_ = env.step([0])
    assert seen["height"][0, 0] == pytest.approx(1.0, abs=1e-3)  # 1 m, less 0.5 m, by 0.5 m.
    assert seen["picture"].dtype == np.uint8
    save_statistics(env, tmp_path)
    raw = Mixed().reset()[0]
    frozen = FrozenStatistics.read(tmp_path).normalize(raw)
    assert frozen["height"] == pytest.approx([-1.0, 0.0], abs=1e-2)
    assert frozen["picture"] is raw["picture"]
    assert frozen["floor"] == 0


@pytest.mark.parametrize("environment", ["Picture-v0", "Mixed-v0"])
def test_a_replay_buffer_takes_pictures_beside_normalised_rewards(environment: str) -> None:
    spec = spec_of(
        "dqn",
        environment,
        normalize=REWARDS_ALONE,
        hyperparameters={"learning_starts": 8, "buffer_size": 50},
    )
    model = build_model(spec, make_vec_env_for(spec)).learn(12)
    assert model.num_timesteps == 12


# What playing sees.


def test_frozen_statistics_give_what_a_pocket_calculator_gives() -> None:
    moments = {"": (np.array([2.0, 7.0]), np.array([4.0, 0.0]))}
    frozen = FrozenStatistics(clip=1.5, epsilon=1e-8, moments=moments)
    seen = frozen.normalize(np.array([3.0, 7.0], dtype=np.float32))
    assert seen.tolist() == [0.5, 0.0]  # (3 - 2) / sqrt(4), and the mean itself.
    assert frozen.normalize(np.array([20.0, 7.0])).tolist() == [1.5, 0.0]


def test_frozen_statistics_are_the_library_s_bit_for_bit(tmp_path: Path) -> None:
    env = make_vec_env_for(
        RunSpec.from_dict({"environment": "Pendulum-v1", "n_envs": 3, "normalize": True})
    )
    assert isinstance(env, VecNormalize)
    env.reset()
    for push in (0.5, -2.0, 1.0):
        env.step(np.full((3, 1), push))
    assert save_statistics(env, tmp_path) == [STATISTICS]
    raw = env.get_original_obs()[1]
    frozen = FrozenStatistics.read(tmp_path)
    assert frozen.normalize(raw).tobytes() == env.normalize_obs(raw).tobytes()
    # A second reading is of the same arrays, and playing has taught them nothing.
    other = make_vec_env_for(RunSpec.from_dict({"environment": "Pendulum-v1", "normalize": True}))
    assert isinstance(other, VecNormalize)
    assert restore(other, tmp_path, {}) == {}
    assert other.obs_rms.var.tobytes() == env.obs_rms.var.tobytes()
    assert other.ret_rms.count == env.ret_rms.count


class SightSpy:
    """A model that keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[list[float]] = []

    def predict(
        self,
        observation: Any,
        state: Any = None,
        episode_start: Any = None,
        deterministic: bool = False,
    ) -> tuple[Any, Any]:
        self.shown.append(observation.tolist())
        return np.array(1), None


def test_a_player_sees_by_frozen_statistics_and_earns_the_game_s_rewards() -> None:
    spy = SightSpy()
    moments = {"": (np.array([1.0, 7.0]), np.array([4.0, 1.0]))}
    frozen = FrozenStatistics(clip=10.0, epsilon=1e-12, moments=moments)
    player = Player(spy, frozen)  # type: ignore[arg-type]
    for seed in (1, 2):
        episode = play(player, gymnasium.make("Stairs-v0"), EvalSpec(), seed)
        assert (episode.episode_return, episode.length) == (400.0, 4)
    assert spy.shown == [[-0.5, 0.0], [0.0, 0.0], [0.5, 0.0], [1.0, 0.0]] * 2


@pytest.fixture(scope="module")
def normalized_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunSpec, RunDirectory]:
    spec = spec_of(normalize=True)
    directory = make_directory(tmp_path_factory.mktemp("normalized") / "run", spec)
    train(spec, directory)
    return spec, directory


def test_a_run_logs_and_evaluates_the_game_s_returns(
    normalized_run: tuple[RunSpec, RunDirectory],
) -> None:
    spec, directory = normalized_run
    assert {event["return"] for event in events_of(directory, "episode")} == {400.0}
    player = Player.of_checkpoint(spec, directory, 64)
    assert player.statistics is not None
    # Half the heights 0 1 2 3, each as often, are below 1.5: their variance is 1.25.
    mean, variance = player.statistics.moments[""]
    assert mean == pytest.approx([1.5, 7.0], abs=0.03)
    assert variance == pytest.approx([1.25, 0.0], abs=0.03)
    asked = EvalSpec(n_episodes=2, should_film=False)
    before = (directory.checkpoints / "64" / STATISTICS).read_bytes()
    result = evaluate(directory, spec, 64, asked, "eval_test")
    assert [episode.episode_return for episode in result.episodes] == [400.0, 400.0]
    assert (directory.checkpoints / "64" / STATISTICS).read_bytes() == before


def test_statistics_are_covered_by_the_manifest(
    normalized_run: tuple[RunSpec, RunDirectory], tmp_path: Path
) -> None:
    spec, directory = normalized_run
    copy = make_directory(tmp_path / "copy", spec)
    copy_checkpoint(directory, copy, 64)
    path = copy.checkpoints / "64" / STATISTICS
    data = path.read_bytes()
    path.unlink()  # The original's file has the same inode.
    path.write_bytes(data[:-1] + b"x")
    with pytest.raises(DamagedCheckpoint, match=rf"{STATISTICS} does not match"):
        Player.of_checkpoint(spec, copy, 64)


def test_the_same_spec_twice_gives_the_same_curve(
    normalized_run: tuple[RunSpec, RunDirectory], tmp_path: Path
) -> None:
    spec, directory = normalized_run
    again = make_directory(tmp_path / "again", spec)
    train(spec, again)
    assert visible(again) == visible(directory)
    plain = make_directory(tmp_path / "plain", spec_of())
    train(spec_of(), plain)
    assert visible(plain) != visible(directory)


@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_what_our_walls_train_is_what_the_bare_library_trains(
    tmp_path: Path, algorithm: str
) -> None:
    spec = spec_of(algorithm, normalize={"clip_obs": 1}, n_envs=2, total_timesteps=96)
    directory = make_directory(tmp_path / "run", spec)
    train(spec, directory)
    env = VecNormalize(
        make_vec_env("Stairs-v0", n_envs=2, seed=spec.seed), clip_obs=1.0, gamma=0.99
    )
    module, _, name = ALGORITHMS[algorithm].class_path.partition(":")
    arguments = constructor_arguments(spec)
    bare = getattr(import_module(module), name)("MlpPolicy", env, seed=spec.seed, **arguments)
    bare.learn(96)
    trained = weights(algorithm, directory)
    assert all(torch.equal(value, trained[key]) for key, value in bare.policy.state_dict().items())


# What a branch says of it.


@pytest.mark.parametrize(
    ("before", "after", "lost"),
    [
        (True, True, set()),
        (True, {"clip_obs": 5, "gamma": 0.5}, set()),
        (None, True, {"statistics of rewards", "statistics of observations"}),
        (None, REWARDS_ALONE, {"statistics of rewards"}),
        (REWARDS_ALONE, True, {"statistics of observations"}),
        (True, REWARDS_ALONE, {"statistics of observations"}),
        (True, None, {"normalisation"}),
    ],
)
@pytest.mark.parametrize("algorithm", ["ppo", "dqn"])
def test_a_branch_says_what_of_its_normalisation_did_not_come_back(
    tmp_path: Path, algorithm: str, before: Any, after: Any, lost: set[str]
) -> None:
    parent = make_directory(tmp_path / "parent", spec_of(algorithm, normalize=before))
    train(spec_of(algorithm, normalize=before), parent)
    spec = spec_of(algorithm, normalize=after, total_timesteps=96)
    child = make_directory(tmp_path / "child", spec)
    child.append(copy_checkpoint(parent, child, 64))
    train(spec, child)
    (attempt,) = events_of(child, "attempt")
    assert attempt["fidelity"] == ("warm" if lost else "exact")
    expected = {**dict.fromkeys(lost), "environment state": None} if lost else {}
    assert set(attempt["notes"]) == set(expected)
    assert {event["return"] for event in events_of(child, "episode")} == {400.0}
    # The parent's checkpoint plays as it was trained, whatever its child does.
    statistics = Player.of_checkpoint(spec, child, 64).statistics
    assert (statistics is None) == (before is None)


def test_words_say_what_is_normalised() -> None:
    assert what_is_normalized(None) == "nothing"
    assert what_is_normalized({}) == "observations and rewards"
    assert what_is_normalized(REWARDS_ALONE) == "rewards"
    assert set(NORMALIZATION) == set(FULL)
