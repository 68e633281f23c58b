"""Environments stepped in other ways give the same data, are resumed, and say what they cannot."""

import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env

from apps.catalogue.presets.presets import Preset
from apps.engine.stepping.making import make_env_for, make_vec_env_for
from apps.engine.stepping.native import SameStepCartPole, make_native
from apps.errors import InvalidSpec
from apps.rundir.files import read_json
from apps.spec.defaults import apply_preset
from apps.spec.run import RunSpec
from tests.builders import events_of, spec_of
from tests.trainings import assert_same_run, train_with_pauses

GOALS = "tests.worlds.goal_walk:GoalWalk-v0"
WALK = "tests.worlds.short_walk:ShortWalk-v0"
LIMIT = 500


class Locked(SameStepCartPole):
    """A vector environment that holds what cannot be pickled."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.lock = threading.Lock()


for name, entry in (("Late-v0", CartPoleVectorEnv), ("Locked-v0", Locked)):
    gymnasium.register(
        name,
        entry_point="gymnasium.envs.classic_control:CartPoleEnv",
        # A function's name is none of those that have a version of ours.
        vector_entry_point=lambda entry=entry, **options: entry(**options),
        max_episode_steps=LIMIT,
    )


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_native_carts_move_and_end_as_single_ones_do(seed: int) -> None:
    draw = np.random.default_rng(seed)
    native, single = make_native("CartPole-v1", {}, 8), make_vec_env("CartPole-v1", 8)
    carts: Any = native._env
    native.seed(seed)
    native.reset()
    single.reset()
    # Some carts are about to leave the track or the step limit behind, one both at once.
    carts.state = draw.uniform(-0.1, 0.1, (4, 8))
    carts.state[:, 0] = carts.state[:, 3] = (2.39, 2.0, 0.0, 0.0)
    carts.steps[:] = [0, 1, LIMIT - 1, LIMIT - 1, LIMIT - 2, 5, 6, 7]
    for cart, env in enumerate(single.envs):  # type: ignore[attr-defined]
        env.unwrapped.state = tuple(carts.state[:, cart])
        env.get_wrapper_attr("env")._elapsed_steps = int(carts.steps[cart])
    has_ended = np.zeros(8, dtype=bool)
    for _ in range(40):
        actions = draw.integers(0, 2, 8)
        ours, theirs = native.step(actions), single.step(actions)
        for cart in (~has_ended).nonzero()[0]:
            assert ours[1][cart] == theirs[1][cart] == 1.0
            assert ours[2][cart] == theirs[2][cart]
            seen, wanted = ours[0][cart], theirs[0][cart]
            if ours[2][cart]:
                one, other = ours[3][cart], theirs[3][cart]
                assert one["TimeLimit.truncated"] == other["TimeLimit.truncated"]
                assert np.abs(seen).max() <= 0.05, "a new episode begins in the same step"
                seen, wanted = one["terminal_observation"], other["terminal_observation"]
            np.testing.assert_allclose(seen, wanted, rtol=1e-5, atol=1e-6)
        has_ended |= ours[2]
    assert has_ended[[0, 2, 3, 4]].all()


def test_native_episodes_are_counted_as_single_ones_are() -> None:
    env = make_native("CartPole-v1", {}, 4)
    env.seed(1)
    env.reset()
    lengths = np.zeros(4, dtype=int)
    for _ in range(200):
        _, _, dones, infos = env.step(np.zeros(4, dtype=np.int64))
        lengths += 1
        for cart, info in enumerate(infos):
            assert ("episode" in info) == dones[cart]
            if dones[cart]:
                assert info["episode"]["l"] == info["episode"]["r"] == lengths[cart]
                lengths[cart] = 0


@pytest.mark.parametrize("environment", [WALK, "CartPole-v1", GOALS, "FrozenLake-v1"])
def test_environments_of_one_process_say_what_the_library_s_say(environment: str) -> None:
    spec = RunSpec.from_dict({"environment": environment, "n_envs": 3})
    ours = make_vec_env_for(spec)
    theirs = make_vec_env(lambda: make_env_for(spec), 3, seed=spec.seed)
    np.testing.assert_equal(ours.reset(), theirs.reset())
    for _ in range(60):
        actions = np.array([ours.action_space.sample() for _ in range(3)])
        one, other = ours.step(actions), theirs.step(actions)
        for info in (*one[3], *other[3]):
            info.get("episode", {}).pop("t", None)
        np.testing.assert_equal(one, other)
        assert one[0] is not ours.step(actions)[0]
        theirs.step(actions)


@pytest.mark.parametrize(
    ("algorithm", "changes"),
    [("ppo", {"n_envs": 4, "normalize": True}), ("dqn", {"n_envs": 3})],
)
def test_a_native_run_goes_on_as_if_it_had_never_been_paused(
    tmp_path: Path, algorithm: str, changes: dict[str, Any]
) -> None:
    spec = spec_of(
        algorithm, "CartPole-v1", vectorization="native", total_timesteps=600, **changes
    )
    whole, _ = train_with_pauses(tmp_path / "whole", spec)
    broken, _ = train_with_pauses(tmp_path / "broken", spec, 300)
    assert [event["fidelity"] for event in events_of(broken, "attempt")] == ["exact"]
    assert_same_run(spec, whole, broken)
    assert read_json(broken.provenance)["vectorization"]["used"] == "native"
    plain, _ = train_with_pauses(tmp_path / "plain", spec_of(algorithm, "CartPole-v1", **changes))
    assert {*events_of(whole, "episode")[0]} == {*events_of(plain, "episode")[0]}


def test_a_native_environment_that_cannot_be_captured_goes_on_warm(tmp_path: Path) -> None:
    spec = spec_of("ppo", "Locked-v0", vectorization="native", n_envs=2)
    directory, _ = train_with_pauses(tmp_path / "run", spec, 300)
    (attempt,) = events_of(directory, "attempt")
    assert attempt["fidelity"] == "warm"
    assert "cannot be pickled" in attempt["notes"]["environment state"]


@pytest.mark.parametrize(
    ("environment", "reason"),
    [(WALK, "no vector version"), ("Late-v0", "NEXT_STEP, not in the same step")],
)
def test_what_cannot_be_stepped_as_asked_is_stepped_in_process_and_says_so(
    tmp_path: Path, environment: str, reason: str
) -> None:
    spec = spec_of("ppo", environment, vectorization="native", total_timesteps=300)
    directory, outcome = train_with_pauses(tmp_path / "run", spec, 100)
    assert outcome.status == "completed"
    said = [event["reason"] for event in events_of(directory, "status") if "reason" in event]
    assert reason in said[0]
    chosen = read_json(directory.provenance)["vectorization"]
    assert (chosen["asked"], chosen["used"]) == ("native", "dummy")
    assert events_of(directory, "attempt")[0]["fidelity"] == "exact"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"vectorization": "threads"}, "'threads' is not allowed; allowed: auto, dummy"),
        ({"vectorization": ["native"]}, "is not allowed; allowed: auto"),
        ({"environment": "Acrobot-v1"}, "in Acrobot-v1, which has no vector version"),
        ({"wrappers": ["gymnasium.wrappers:ClipReward"]}, "with wrappers, .* use auto"),
        ({"frame_stack": 2}, "with frame_stack"),
        ({"algorithm": "maskable_ppo"}, "with MaskablePPO, which asks"),
        ({"algorithm": "dqn", "hyperparameters": {"her": True}}, "with her, which asks"),
    ],
)
def test_what_cannot_be_stepped_as_asked_is_refused_where_it_is_known(
    data: dict[str, Any], words: str
) -> None:
    with pytest.raises(InvalidSpec, match=words) as refused:
        RunSpec.from_dict({"vectorization": "native", **data})
    assert [error.field for error in refused.value.errors] == ["vectorization"]


def test_a_preset_may_ask_for_it_but_not_of_a_spec_from_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spec = RunSpec.from_dict({"preset": "high_score"})
    preset = Preset(vectorization="native")
    monkeypatch.setattr("apps.spec.defaults.preset_for", lambda *_: preset)
    values = {"environment": "CartPole-v1", "preset": "fast"}
    apply_preset(values, {}, spec.schema)
    assert values["vectorization"] == "native"
    stacked = {"environment": "CartPole-v1", "preset": "fast", "frame_stack": 4}
    apply_preset(stacked, {}, spec.schema)
    assert "vectorization" not in stacked
    older = spec.as_dict()
    del older["vectorization"]
    assert RunSpec.from_dict(older).vectorization == "auto"
    assert RunSpec.from_dict(older) == spec
