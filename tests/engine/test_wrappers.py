"""Wrappers: by import path, for training or for both, and Atari as the literature plays it."""

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from apps.catalogue.environments.ids import is_installed
from apps.engine.environments.making import describe, make_env, training_wrapper
from apps.engine.wrappers import AtariFrames, ClipReward, FrameStack, LifeIsEpisode
from apps.errors import UnknownEnvironment
from apps.spec.run import RunSpec
from tests.worlds.wrappers import Doubling

WRAPPERS = "tests.worlds.wrappers"


def first_reward(env: gymnasium.Env[Any, Any]) -> float:
    env.reset(seed=1)
    return float(env.step(0)[1])


def test_wrappers_are_put_around_in_order_with_their_arguments() -> None:
    inner = f"{WRAPPERS}:Doubling"
    outer = {"path": inner, "kwargs": {"times": 5}}
    env = make_env("CartPole-v1", wrappers=[inner, outer])
    assert first_reward(env) == 10.0
    assert isinstance(env, Doubling)
    assert env.times == 5


def test_a_wrapper_for_training_only_is_left_out_elsewhere() -> None:
    wrappers = [f"{WRAPPERS}:Doubling", f"{WRAPPERS}:TrainingDoubling"]
    env = make_env("CartPole-v1", wrappers=wrappers)
    assert first_reward(env) == 2.0
    assert first_reward(training_wrapper(wrappers)(env)) == 4.0


def test_returns_of_episodes_are_counted_inside_what_is_for_training_only() -> None:
    wrappers = [f"{WRAPPERS}:TrainingDoubling"]
    env = make_vec_env(
        lambda: make_env("CartPole-v1", wrappers=wrappers),
        seed=1,
        wrapper_class=training_wrapper(wrappers),
    )
    env.reset()
    total = 0.0
    for _ in range(500):
        _, rewards, dones, infos = env.step([0])
        total += float(rewards[0])
        if dones[0]:
            break
    assert infos[0]["episode"]["r"] * 2 == total


@pytest.mark.parametrize(
    ("wrapper", "named"),
    [
        ("no_such_module:Wrapper", "No module named 'no_such_module'"),
        (f"{WRAPPERS}:Missing", "Missing"),
        (f"{WRAPPERS}:Refusing", "no thanks"),
        ("os:abort", "os:abort is not a class derived from gymnasium.Wrapper"),
        ("os:PathLike", "os:PathLike is not a class derived from gymnasium.Wrapper"),
        ({"path": f"{WRAPPERS}:Doubling", "kwargs": {"wings": 2}}, "wings"),
    ],
)
def test_a_wrapper_that_cannot_be_used_is_named_with_the_reason(wrapper: Any, named: str) -> None:
    with pytest.raises(UnknownEnvironment, match=named):
        make_env("CartPole-v1", wrappers=[wrapper])


def test_a_description_is_of_what_the_policy_sees() -> None:
    description = describe("CartPole-v1", frame_stack=3)
    assert description.observation_space.shape == (12,)
    assert describe("CartPole-v1").observation_space.shape == (4,)


@pytest.mark.parametrize("environment", ["Taxi-v4", "FrozenLake-v1"])
def test_what_is_no_array_cannot_be_stacked(environment: str) -> None:
    with pytest.raises(UnknownEnvironment, match="set frame_stack to 0"):
        make_env(environment, frame_stack=4)


class Showing(gymnasium.Env[Any, Any]):
    """Shows arrays of its own, an episode of three steps at a time."""

    action_space = spaces.Discrete(2)

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.observation_space: Any = spaces.Box(0, 255, shape, np.uint8)
        self.time = 0

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time = 0
        return self._shown(), {}

    def step(self, action: Any) -> Any:
        self.time += 1
        return self._shown(), 0.0, self.time == 3, False, {}

    def _shown(self) -> Any:
        numbers = self.np_random.integers(0, 256, self.observation_space.shape)
        return numbers.astype(np.uint8)


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=3).map(tuple),
    st.integers(2, 5),
    st.integers(0, 9),
)
@settings(deadline=None, max_examples=40)
def test_stacked_observations_are_those_of_the_librarys_vectorised_stack(
    shape: tuple[int, ...], count: int, n_steps: int
) -> None:
    ours = FrameStack(Showing(shape), count)
    theirs = VecFrameStack(DummyVecEnv([lambda: Showing(shape)]), count, channels_order="last")
    theirs.seed(7)
    wanted = theirs.reset()
    seen, _ = ours.reset(seed=7)
    assert ours.observation_space == theirs.observation_space
    assert np.array_equal(seen, wanted[0])
    for _ in range(n_steps):
        wanted, _, dones, _ = theirs.step([0])
        seen, _, is_terminated, _, _ = ours.step(0)
        assert is_terminated == dones[0]
        if is_terminated:
            seen, _ = ours.reset()
        assert np.array_equal(seen, wanted[0])
        assert seen.dtype == np.uint8


class Arcade(gymnasium.Env[Any, Any]):
    """What a game of the Arcade Learning Environment offers, in four grey lines.

    Its picture is as bright as its frame count; with each third FIRE a life is lost.
    """

    observation_space = spaces.Box(0, 255, (210, 160, 3), np.uint8)
    action_space = spaces.Discrete(4)
    _frameskip = 1

    def __init__(self, lives: int = 3, frameskip: int = 1) -> None:
        self._frameskip = frameskip
        self.ale = self
        self.start_lives = lives
        self.left = self.frames = self.fires = 0
        self.actions: list[int] = []

    def lives(self) -> int:
        return self.left

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "FIRE", "RIGHT", "LEFT"]

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.left, self.frames, self.fires, self.actions = self.start_lives, 0, 0, []
        return self._picture(), {}

    def step(self, action: Any) -> Any:
        self.frames += 1
        self.actions.append(int(action))
        if action == 3:
            self.left -= 1
        return self._picture(), -2.5, self.left == 0, self.frames > 1000, {}

    def _picture(self) -> Any:
        bright = self.frames % 2 == 0  # Every second frame flickers to black.
        return np.full((210, 160, 3), min(self.frames, 255) * bright, np.uint8)


def test_a_step_of_atari_is_four_frames_and_the_brighter_of_the_last_two() -> None:
    game = Arcade()
    env = AtariFrames(game)  # type: ignore[arg-type]
    env.reset(seed=1)
    before = game.frames
    picture, reward, _, _, _ = env.step(2)
    assert game.frames == before + 4
    assert game.actions[-4:] == [2, 2, 2, 2]
    assert reward == -10.0
    assert picture.shape == (84, 84, 1)
    brighter = max(frame for frame in (game.frames - 1, game.frames) if frame % 2 == 0)
    assert set(picture.ravel().tolist()) == {brighter}


def test_a_game_of_atari_starts_after_a_seeded_idle_while_and_a_press_of_fire() -> None:
    starts = []
    for seed in (1, 1, 2, 3, 4, 5):
        game = Arcade()
        AtariFrames(game).reset(seed=seed)  # type: ignore[arg-type]
        idle = game.actions.count(0)
        assert game.actions == [0] * idle + [1, 2]
        assert 1 <= idle <= 30
        starts.append(idle)
    assert starts[0] == starts[1]
    assert len(set(starts)) > 1


def test_fire_is_pressed_after_a_lost_life_and_not_after_the_last() -> None:
    game = Arcade(lives=8)
    env = AtariFrames(game, noop_max=0)  # type: ignore[arg-type]
    env.reset(seed=1)
    env.step(3)  # Four lives gone in four frames.
    assert game.actions[-5:] == [3, 3, 3, 3, 1]
    *_, is_terminated, _, _ = env.step(3)
    assert is_terminated
    assert game.actions[-4:] == [3, 3, 3, 3]


def test_a_game_that_skips_frames_already_is_refused() -> None:
    with pytest.raises(ValueError, match="frameskip=1"):
        AtariFrames(Arcade(frameskip=4))  # type: ignore[arg-type]


def test_in_training_an_episode_is_a_life_and_the_game_goes_on() -> None:
    game = Arcade(lives=2)
    env = LifeIsEpisode(game)
    env.reset(seed=1)
    *_, is_terminated, _, _ = env.step(3)
    assert is_terminated
    assert game.left == 1
    frames = game.frames
    env.reset()
    assert (game.left, game.frames) == (1, frames + 1)
    *_, is_terminated, _, _ = env.step(3)
    assert is_terminated
    env.reset()
    assert (game.left, game.frames) == (2, 0)


def test_in_training_a_reward_is_its_sign() -> None:
    env = ClipReward(Arcade())
    env.reset(seed=1)
    assert env.step(0)[1] == -1.0
    assert ClipReward.is_for_training_only
    assert LifeIsEpisode.is_for_training_only


@pytest.mark.skipif(not is_installed("atari"), reason="Atari is missing")
def test_atari_in_training_and_in_evaluation_shows_the_same_game() -> None:
    spec = RunSpec.from_dict({"environment": "ALE/Breakout-v5"})
    make = {"kwargs": spec.environment_kwargs, "wrappers": spec.wrappers, "frame_stack": 4}
    plain = make_env(spec.environment, **make)
    training = training_wrapper(spec.wrappers)(make_env(spec.environment, **make))
    first, _ = plain.reset(seed=3)
    second, _ = training.reset(seed=3)
    assert np.array_equal(first, second)
    for action in [1, 2, 3] * 10:
        first, _, is_over, _, _ = plain.step(action)
        second, reward, _, _, _ = training.step(action)
        assert np.array_equal(first, second)
        assert reward in {-1.0, 0.0, 1.0}
        if is_over:
            break
