"""The registry of environments: cards, descriptions and refusals."""

import re
import shlex
import sys
import tomllib
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import gymnasium
import orjson
import pytest
from gymnasium import spaces

from apps.catalogue.environments.cards import ENVIRONMENTS, EnvironmentCard
from apps.catalogue.environments.descriptions import EnvironmentDescription
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.ids import (
    family_of,
    is_installed,
    known_ids,
    space_kind,
    unknown_message,
)
from apps.catalogue.extras import install_command
from apps.engine.environments.making import describe, make_env
from apps.errors import UnknownEnvironment
from apps.spec.run import RunSpec

# What needs no more packages than ours: found in the registry, so that a new one is tested too.
INSTALLED = [
    id_
    for id_, spec in sorted(gymnasium.registry.items())
    if isinstance(spec.entry_point, str)
    and spec.entry_point.startswith(("gymnasium.envs.classic_control", "gymnasium.envs.toy_text"))
]
each_card = pytest.mark.parametrize("card", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
# `make test` installs every family; Box2D has no wheel for every machine.
each_installed_card = pytest.mark.parametrize(
    "card",
    [
        pytest.param(
            card,
            id=card.id,
            marks=pytest.mark.skipif(
                not is_installed(card.family), reason=f"{FAMILIES[card.family].title} is missing"
            ),
        )
        for card in ENVIRONMENTS.values()
    ],
)


@each_installed_card
def test_a_card_agrees_with_the_environment_that_it_describes(card: EnvironmentCard) -> None:
    description = describe(card.id)
    assert description.id == card.id
    assert description.action_space.kind == card.action_space
    assert card.max_episode_steps == (description.max_episode_steps or own_step_limit(card))
    assert description.reward_threshold == card.solved_return
    assert "rgb_array" in description.render_modes


def own_step_limit(card: EnvironmentCard) -> int:
    """Return the limit that an environment keeps without telling Gymnasium."""
    with make_env(card.id) as env:
        if card.family == "minigrid":
            return env.unwrapped.max_steps  # type: ignore[attr-defined, no-any-return]
        assert env.spec is not None
        return env.spec.kwargs["max_num_frames_per_episode"] // 4  # type: ignore[no-any-return]


@each_installed_card
def test_an_environment_is_played_as_its_family_wants_it(card: EnvironmentCard) -> None:
    spec = RunSpec.from_dict({"environment": card.id})
    with make_env(
        card.id, spec.environment_kwargs, "rgb_array", spec.wrappers, spec.frame_stack
    ) as env:
        observation, _ = env.reset(seed=1)
        assert observation in env.observation_space
        seen = [env.step(env.action_space.sample())[0] for _ in range(5)]
        assert all(observation in env.observation_space for observation in seen)
        assert space_kind(env.observation_space) == (
            "discrete" if card.family == "toy_text" else "box"
        )
        if card.family == "atari":
            assert env.observation_space.shape == (84, 84, 4)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_has_cards_and_is_installed_as_the_project_asks_for_it(family: str) -> None:
    assert any(card.family == family for card in ENVIRONMENTS.values())
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
    asked = project["optional-dependencies"].get(FAMILIES[family].extra, [])
    assert not FAMILIES[family].extra or FAMILIES[family].requirement in asked


@pytest.mark.parametrize(
    ("environment", "family"),
    [
        ("ALE/Pong-v5", "atari"),
        ("PongNoFrameskip-v4", "atari"),
        ("MiniGrid-Unlock-v0", "minigrid"),
        ("BabyAI-GoToObj-v0", "minigrid"),
        ("CartPole-v1", None),
        ("Hopper-v5", None),
        ("my.module:MiniGrid-v0", None),
        ("Alexandria-v5", None),
    ],
)
def test_a_family_that_registers_when_imported_is_known_by_its_ids(
    environment: str, family: str | None
) -> None:
    assert family_of(environment) == (FAMILIES[family] if family else None)


@pytest.mark.parametrize("family", ["box2d", "mujoco", "atari", "minigrid"])
def test_an_environment_whose_package_is_missing_gives_the_command_to_type(
    family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith(f"gymnasium.envs.{family}.")]:
        monkeypatch.delitem(sys.modules, name)  # What was imported already remembers its package.
    monkeypatch.setitem(sys.modules, FAMILIES[family].package, None)
    card = next(card for card in ENVIRONMENTS.values() if card.family == family)
    assert not is_installed(family)
    with pytest.raises(UnknownEnvironment) as caught:
        make_env(card.id)
    said = f"{card.id} needs a package that is not installed: type {FAMILIES[family].install}"
    assert str(caught.value) == said


def test_the_command_that_installs_a_package_runs_as_it_is() -> None:
    command = shlex.split(install_command("mujoco>=3.3,<4"))
    assert command == [sys.executable, "-m", "pip", "install", "mujoco>=3.3,<4"]


@each_card
def test_a_card_says_what_a_page_needs(card: EnvironmentCard) -> None:
    assert ENVIRONMENTS[card.id] is card
    assert card.family in FAMILIES
    assert card.meaning.endswith(".")
    assert card.observation
    assert card.reward
    assert card.source


@each_installed_card
def test_a_known_environment_renders_a_frame(card: EnvironmentCard) -> None:
    if card.family == "mujoco" and find_library("EGL") is None:
        pytest.skip("without a screen MuJoCo draws through EGL (Debian: apt install libegl1)")
    env = make_env(card.id, render_mode="rgb_array")
    try:
        env.reset(seed=1)
        frame: Any = env.render()
    finally:
        env.close()
    assert frame.ndim == 3
    assert frame.shape[2] == 3


def test_the_registry_holds_what_the_installed_packages_bring() -> None:
    assert {"CartPole-v1", "Taxi-v4", "FrozenLake-v1", "Pendulum-v1"} <= set(INSTALLED)


@pytest.mark.filterwarnings("ignore:.*out of date.*:DeprecationWarning")
@pytest.mark.parametrize("environment", INSTALLED)
def test_every_environment_of_the_installed_packages_can_be_described(environment: str) -> None:
    description = describe(environment)
    env = gymnasium.make(environment)
    assert description.action_space.kind == space_kind(env.action_space)
    is_tuple = isinstance(env.observation_space, spaces.Tuple)
    observed = "box" if is_tuple else space_kind(env.observation_space)
    assert description.observation_space.kind == observed
    assert env.spec is not None
    assert description.max_episode_steps == env.spec.max_episode_steps
    assert description.render_fps > 0
    env.close()


@pytest.mark.parametrize("environment", ["CartPole-v1", "Blackjack-v1", "Pendulum-v1", "Taxi-v4"])
def test_a_description_is_json(environment: str) -> None:
    data = orjson.loads(orjson.dumps(describe(environment).as_dict()))
    assert data["id"] == environment
    assert EnvironmentDescription.from_dict(data) == describe(environment)


def test_the_description_of_cartpole_is_as_its_source_says() -> None:
    description = describe("CartPole-v1")
    assert description.action_space.kind == "discrete"
    assert description.action_space.n == 2
    assert description.action_space.shape == ()
    assert description.observation_space.kind == "box"
    assert description.observation_space.shape == (4,)
    assert description.observation_space.dtype == "float32"
    assert (description.observation_space.low, description.observation_space.high) == (None, None)
    assert description.max_episode_steps == 500
    assert description.reward_threshold == 475.0
    assert description.render_modes == ("human", "rgb_array")
    assert description.render_fps == 50


def test_the_description_of_a_bounded_box_has_its_extreme_bounds() -> None:
    action_space = describe("Pendulum-v1").action_space
    assert (action_space.kind, action_space.low, action_space.high) == ("box", -2.0, 2.0)
    assert action_space.n is None


def test_an_observation_that_is_a_tuple_becomes_a_vector() -> None:
    env = make_env("Blackjack-v1")
    observation, _ = env.reset(seed=1)
    assert space_kind(env.observation_space) == "box"
    assert observation in env.observation_space
    env.close()


class OwnBox(spaces.Box):
    """A box of somebody's own."""


@pytest.mark.parametrize(
    ("space", "kind"),
    [
        (spaces.Discrete(3), "discrete"),
        (spaces.Box(-1, 1, (2,)), "box"),
        (OwnBox(-1, 1, (2,)), "box"),
        (spaces.MultiDiscrete([2, 3]), "multi_discrete"),
        (spaces.MultiBinary(4), "multi_binary"),
        (spaces.Dict({"a": spaces.Discrete(2)}), "other"),
        (spaces.Tuple([spaces.Discrete(2)]), "other"),
        (spaces.Text(3), "other"),
    ],
)
def test_a_space_has_its_kind(space: Any, kind: str) -> None:
    assert space_kind(space) == kind


def test_an_environment_with_a_dictionary_of_observations_can_be_described(tmp_path: Path) -> None:
    (tmp_path / "own_dictionary_env.py").write_text(
        "import gymnasium\n"
        "from gymnasium import spaces\n"
        "class Env(gymnasium.Env):\n"
        "    observation_space = spaces.Dict({'a': spaces.Box(0, 1, (2,))})\n"
        "    action_space = spaces.MultiDiscrete([2, 3])\n"
        "gymnasium.register('OwnDictionary-v0', Env)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        patch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
        description = describe("own_dictionary_env:OwnDictionary-v0")
    assert description.observation_space.kind == "other"
    assert description.observation_space.parts.keys() == {"a"}
    assert description.action_space.kind == "multi_discrete"
    assert description.action_space.shape == (2,)
    assert description.max_episode_steps is None
    assert description.reward_threshold is None
    assert orjson.dumps(description.as_dict())


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("CartPol-v1", "CartPole-v1"),
        ("cartpole-v1", "CartPole-v1"),
        ("CartPole-v9", "CartPole-v1"),
        ("Pendulum", "Pendulum-v1"),
        ("MountainCarContinous-v0", "MountainCarContinuous-v0"),
    ],
)
def test_an_unknown_id_is_refused_with_the_closest_ones(typed: str, meant: str) -> None:
    assert f"{typed!r} is not a registered environment; did you mean" in unknown_message(typed)
    assert meant in unknown_message(typed)


@pytest.mark.parametrize("typed", ["CartPol-v1", "CartPole-v9", "Nope/CartPole-v1", "qqq", "a/b"])
def test_making_an_unknown_environment_is_refused_with_something_to_try(typed: str) -> None:
    with pytest.raises(UnknownEnvironment, match=re.escape(repr(typed))) as caught:
        make_env(typed)
    assert "did you mean" in str(caught.value) or "try CartPole-v1" in str(caught.value)


def test_an_id_that_is_close_to_nothing_is_refused_with_what_is_known() -> None:
    few = "CartPole-v1, Acrobot-v1, MountainCar-v0, MountainCarContinuous-v0, Pendulum-v1"
    assert unknown_message("qqqqqq").endswith(f"try {few}")


def test_a_module_that_is_missing_is_named() -> None:
    with pytest.raises(
        UnknownEnvironment, match="there is no module 'no_such_module': put it into"
    ):
        make_env("no_such_module:Env-v0")


@pytest.mark.parametrize(
    ("environment", "kwargs", "named"),
    [
        ("CartPole-v1", {"wings": 2}, "wings"),
        ("CartPole-v1", {"id": "Pendulum-v1"}, "id"),
        ("FrozenLake-v1", {"map_name": "nowhere"}, "nowhere"),
        ("Taxi-v4", {"wings": 2}, "wings"),
    ],
)
def test_kwargs_that_an_environment_refuses_are_named(
    environment: str, kwargs: dict[str, Any], named: str
) -> None:
    with pytest.raises(UnknownEnvironment, match=named) as caught:
        make_env(environment, kwargs)
    assert environment in str(caught.value)


def test_kwargs_reach_the_environment() -> None:
    env = make_env("Pendulum-v1", {"g": 3.7})
    assert env.unwrapped.g == 3.7  # type: ignore[attr-defined]
    env.close()


def test_the_caller_keeps_its_kwargs() -> None:
    kwargs = {"g": 3.7}
    make_env("Pendulum-v1", kwargs, render_mode="rgb_array").close()
    assert kwargs == {"g": 3.7}


def test_known_ids_are_sorted_and_hold_every_card_that_needs_no_import() -> None:
    ids = known_ids()
    assert ids == sorted(ids)
    assert {id_ for id_ in ENVIRONMENTS if family_of(id_) is None} <= set(ids)


def test_an_id_without_its_version_is_refused_with_the_whole_id() -> None:
    with pytest.raises(UnknownEnvironment, match="write CartPole-v1"):
        describe("CartPole")
