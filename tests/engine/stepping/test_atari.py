"""Atari's own vector environment gives episodes, rewards and pictures as the wrappers do."""

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from stable_baselines3 import PPO

from apps.catalogue.environments.ids import is_installed
from apps.catalogue.stepping import MADE_OF
from apps.engine.checkpoints.loading import load_model
from apps.engine.stepping.atari import NativeAtari, make_native_atari
from apps.engine.stepping.making import make_vec_env_for
from apps.engine.stepping.native import NoNative
from apps.errors import InvalidSpec
from apps.rundir.files import read_json
from apps.spec.fields import MAX_SEED
from apps.spec.run import RunSpec
from tests.builders import events_of, spec_of
from tests.trainings import train_with_pauses

GAME = "ALE/Breakout-v5"
FRAMES, LIVES, CLIP = (
    f"apps.engine.wrappers:{name}" for name in ("AtariFrames", "LifeIsEpisode", "ClipReward")
)
STEPS = 1200

needs_atari = pytest.mark.skipif(not is_installed("atari"), reason="Atari is missing")


def game(**changes: Any) -> RunSpec:
    data = {
        "environment": GAME,
        "vectorization": "native",
        "environment_kwargs": MADE_OF,
        "frame_stack": 4,
    }
    return RunSpec.from_dict({**data, **changes})


def played(env: NativeAtari) -> list[tuple[Any, Any, Any, list[dict[str, Any]]]]:
    env.seed(3)
    draw = np.random.default_rng(0)
    first = (env.reset(), None, None, [])
    actions = draw.integers(0, 4, (STEPS, env.num_envs))
    return [first, *(env.step(action) for action in actions)]


@needs_atari
def test_a_game_is_an_episode_and_a_life_is_one_for_the_learner() -> None:
    learner = played(make_native_atari(game(n_envs=2), threads=1))
    plain = played(make_native_atari(game(n_envs=2, wrappers=[FRAMES]), threads=2))
    paid, games = np.zeros(2), 0
    for before, (seen, clipped, dones, infos), (same, rewards, overs, plain_infos) in zip(
        learner, learner[1:], plain[1:], strict=False
    ):
        # Lives and signs are for the learner alone: the games are the same.
        assert np.array_equal(seen, same)
        assert np.array_equal(np.sign(rewards), clipped)
        assert not (overs & ~dones).any()
        paid += rewards
        for place in dones.nonzero()[0]:
            assert ("episode" in infos[place]) == overs[place]
            last = infos[place]["terminal_observation"]
            assert np.array_equal(last[:-1], before[0][place][1:])
            if overs[place]:
                assert infos[place]["episode"]["r"] == paid[place]
                assert infos[place]["episode"]["l"] == plain_infos[place]["episode"]["l"]
                paid[place], games = 0, games + 1
    assert games > 5
    assert sum(dones.sum() for _, _, dones, _ in learner[1:]) > 4 * games


@needs_atari
def test_a_game_pays_what_it_pays_one_by_one() -> None:
    env = make_native_atari(game(n_envs=8), threads=2)
    single = make_vec_env_for(game(n_envs=8, vectorization="dummy"))
    single.seed(3)
    single.reset()
    draw = np.random.default_rng(0)
    returns: dict[str, list[float]] = {"native": [], "single": []}
    for _ in range(STEPS):
        actions = draw.integers(0, 4, 8)
        for info in single.step(actions)[3]:
            returns["single"] += [info["episode"]["r"]] if "episode" in info else []
    env.seed(3)
    env.reset()
    for _ in range(STEPS):
        for info in env.step(draw.integers(0, 4, 8))[3]:
            returns["native"] += [info["episode"]["r"]] if "episode" in info else []
    # A random player gets 1.4 points a game, give or take as many; of 50 games 0.2.
    assert min(map(len, returns.values())) > 30
    assert abs(np.mean(returns["native"]) - np.mean(returns["single"])) < 1.0


@needs_atari
@pytest.mark.parametrize("seed", [2**31 - 1, MAX_SEED])
def test_every_seed_of_a_spec_seeds_the_games(seed: int) -> None:
    first = [make_native_atari(game(n_envs=2), threads=1) for _ in range(2)]
    seen = []
    for env in first:
        env.seed(seed)
        env.reset()
        seen.append([env.step(np.array([1, place % 4]))[0] for place in range(20)])
    assert np.array_equal(*seen)


@needs_atari
def test_a_game_that_is_cut_short_is_an_episode_whatever_lives_it_has() -> None:
    kwargs = {**MADE_OF, "max_num_frames_per_episode": 200}
    env = make_native_atari(game(n_envs=1, environment_kwargs=kwargs), threads=1)
    emulator: Any = env._env
    step = emulator.step

    def with_bonus_lives(actions: Any) -> Any:
        *given, told = step(actions)
        told["lives"] = np.where(given[3], 5, 9)  # A new game begins with fewer.
        return (*given, told)

    emulator.step = with_bonus_lives
    env.seed(3)
    env.reset()
    ends = []
    for _ in range(200):
        seen, _, _, infos = env.step(np.array([1]))
        if infos[0].get("TimeLimit.truncated"):
            ends.append(infos[0]["episode"]["l"])
            assert not np.array_equal(infos[0]["terminal_observation"], seen[0])
    assert len(ends) >= 3
    assert set(ends) <= set(range(40, 51))


@needs_atari
def test_a_run_is_played_natively_and_its_policy_plays_one_by_one(tmp_path: Path) -> None:
    spec = spec_of("ppo", GAME, vectorization="native", n_envs=2, total_timesteps=300)
    directory, outcome = train_with_pauses(tmp_path / "run", spec, 128)
    assert outcome.status == "completed"
    assert read_json(directory.provenance)["vectorization"]["used"] == "native"
    (attempt,) = events_of(directory, "attempt")
    assert attempt["fidelity"] == "warm"
    model = load_model(spec, directory, outcome.step)
    assert model.observation_space.shape == (4, 84, 84)
    stock = PPO.load(directory.checkpoints / str(outcome.step) / "model.zip")
    seen = make_vec_env_for(game(vectorization="dummy")).reset()
    moved = [
        one.predict(np.moveaxis(seen, -1, 1), deterministic=True)[0] for one in (model, stock)
    ]
    assert np.array_equal(*moved)


@needs_atari
@pytest.mark.parametrize("environment_kwargs", [{"mode": 1}, {"difficulty": 0}])
def test_what_the_emulator_s_own_does_not_take_is_refused(
    environment_kwargs: dict[str, Any],
) -> None:
    asked = {**MADE_OF, **environment_kwargs}
    with pytest.raises(InvalidSpec, match="which it does not take"):
        game(environment_kwargs=asked)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"environment_kwargs": {**MADE_OF, "mode": 1}}, "mode"),
        ({"environment_kwargs": {"frameskip": 4}}, "without frameskip 1"),
        ({"environment_kwargs": {**MADE_OF, "max_num_frames_per_episode": 0}}, "below 1"),
        ({"wrappers": []}, "other wrappers than AtariFrames"),
        ({"wrappers": [LIVES, FRAMES]}, "other wrappers than AtariFrames"),
        ({"wrappers": [FRAMES, {"path": CLIP, "kwargs": {}}]}, "without keywords"),
        ({"algorithm": "maskable_ppo"}, "with MaskablePPO, which asks"),
    ],
)
def test_a_spec_that_needs_single_games_is_refused(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidSpec, match=words) as refused:
        game(**changes)
    assert {error.field for error in refused.value.errors} == {"vectorization"}


def test_what_cannot_be_played_natively_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(environment: str) -> Any:
        raise gymnasium.error.NameNotFound(f"no {environment}")

    spec = game()
    monkeypatch.setattr(gymnasium, "spec", refuse)
    with pytest.raises(NoNative, match=f"{GAME} cannot be played natively"):
        make_native_atari(spec, threads=1)
