"""RL-Baselines3-Zoo's YAML: read as data, never run, and refused by name where it is foreign."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.presets.presets import ZOO_FILE, ZOO_PRESETS
from apps.errors import InvalidSpec
from apps.foreign.plain_yaml import MAX_YAML_BYTES
from apps.foreign.zoo import find_zoo_entry, read_zoo_yaml, spec_data_over
from apps.foreign.zoo_collect import collect_presets
from apps.foreign.zoo_keys import ZooEntry
from apps.spec.run import RunSpec
from apps.text.expressions import MAX_EXPRESSION_LENGTH, parse_expression
from tests.strategies import json_values

LAW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])

EXAMPLE = """
default: &defaults
  n_timesteps: !!float 1e6
  policy: 'MlpPolicy'

HalfCheetah-v4:
  <<: *defaults
  normalize: true
  n_envs: 2
  n_steps: 512
  batch_size: 64
  learning_rate: lin_2.5e-4
  clip_range: 0.1
  use_sde: True
  policy_kwargs: "dict(log_std_init=-2, ortho_init=False,
                       activation_fn=nn.ReLU,
                       net_arch=dict(pi=[256, 256], vf=[64]))"
"""


def only(text: str, algorithm: str = "ppo") -> ZooEntry:
    (entry,) = read_zoo_yaml(text, algorithm).values()
    return entry


def refusals(text: str, algorithm: str = "ppo") -> dict[str, str]:
    """Return the refused fields with what is said of them."""
    with pytest.raises(InvalidSpec) as caught:
        read_zoo_yaml(text, algorithm)
    return {error.field: error.message for error in caught.value.errors}


def test_an_entry_becomes_fields_of_a_spec() -> None:
    entry = read_zoo_yaml(EXAMPLE, "ppo")["HalfCheetah-v4"]
    assert entry.spec == {
        "total_timesteps": 1_000_000,
        "n_envs": 2,
        "normalize": {},
        "hyperparameters": {
            "n_steps": 512,
            "batch_size": 64,
            "learning_rate": "lin_0.00025",
            "clip_range": 0.1,
            "use_sde": True,
            "log_std_init": -2.0,
            "ortho_init": False,
            "activation_fn": "relu",
            "net_arch": [256, 256],
            "critic_net_arch": [64],
        },
    }
    spec = RunSpec.from_dict({"algorithm": "ppo", "environment": "CartPole-v1", **entry.spec})
    assert spec.n_envs == 2


def test_only_what_is_asked_for_is_read() -> None:
    text = EXAMPLE + "\nNope-v0: {nonsense: 1}\n"
    assert list(read_zoo_yaml(text, "ppo", only=["default"])) == ["default"]
    (said,) = refusals(text).items()
    assert said[0] == "Nope-v0.nonsense"
    assert said[1].splitlines() == [
        "not supported; leave it out (line 19, column 11)",
        "  Nope-v0: {nonsense: 1}",
        "            ^",
    ]


def test_a_file_that_gives_a_key_twice_is_refused() -> None:
    with pytest.raises(InvalidSpec, match=r"given twice: gamma \(line 3\)"):
        read_zoo_yaml("A-v0:\n  gamma: 0.9\n  gamma: 0.5\n", "ppo")


MANY = """
CartPole-v1: {n_envs: 8, n_timesteps: !!float 5e4, gamma: 0.9, n_steps: 16, batch_size: 16}
Broken-v0: {nonsense: 1}
default: {n_envs: 2, normalize: "dict(norm_reward=False)", env_kwargs: {g: 9.8}}
atari:
  env_wrapper: [stable_baselines3.common.atari_wrappers.AtariWrapper]
  frame_stack: 4
"""


def test_an_environment_has_its_own_entry_or_that_of_its_kind() -> None:
    assert find_zoo_entry(MANY, "ppo", "CartPole-v1").spec["n_envs"] == 8
    assert find_zoo_entry(MANY, "ppo", "my.module:CartPole-v1").notes == []
    other = find_zoo_entry(MANY, "ppo", "Pendulum-v1")
    assert (other.spec["n_envs"], other.spec["environment_kwargs"]) == (2, {"g": 9.8})
    assert other.notes == ["it says nothing of Pendulum-v1; taken is what it says of default"]
    pong = find_zoo_entry(MANY, "ppo", "ALE/Pong-v5")
    data = spec_data_over(pong, {"environment": "ALE/Pong-v5"})
    assert RunSpec.from_dict(data) == RunSpec.from_dict({"environment": "ALE/Pong-v5"})
    with pytest.raises(InvalidSpec, match=r"nothing of CartPole-v0, .*did you mean CartPole-v1"):
        find_zoo_entry(MANY.replace("default:", "x:"), "ppo", "CartPole-v0")
    with pytest.raises(InvalidSpec, match="nonsense: not supported"):
        find_zoo_entry(MANY, "ppo", "Broken-v0")


def test_what_is_given_wins_over_the_entry_value_by_value() -> None:
    entry = find_zoo_entry(MANY, "ppo", "Pendulum-v1")
    given = {"n_envs": 1, "hyperparameters": {"gamma": 0.5}, "normalize": {"clip_obs": 3}}
    assert spec_data_over(entry, given) == {
        "n_envs": 1,
        "hyperparameters": {"gamma": 0.5},
        "environment_kwargs": {"g": 9.8},
        "normalize": {"norm_reward": False, "clip_obs": 3},
    }
    assert spec_data_over(entry, {"normalize": False})["normalize"] is False
    cart_pole = find_zoo_entry(MANY, "ppo", "CartPole-v1")
    assert spec_data_over(cart_pole, {})["total_timesteps"] == 50_000
    assert "total_timesteps" not in spec_data_over(cart_pole, {"length": "quick"})


def test_wrappers_become_import_paths() -> None:
    entry = only(
        "CarRacing-v3:\n"
        "  env_wrapper:\n"
        "    - a.wrappers.FrameSkip: {skip: 2}\n"
        "    - b.Plain\n"
        "  frame_stack: 2\n"
    )
    assert entry.spec["wrappers"] == [
        {"path": "a.wrappers:FrameSkip", "kwargs": {"skip": 2}},
        "b:Plain",
    ]
    assert entry.spec["frame_stack"] == 2


def test_the_atari_wrapper_becomes_ours() -> None:
    name = "stable_baselines3.common.atari_wrappers.AtariWrapper"
    entry = only(f"atari:\n  env_wrapper:\n    - {name}\n")
    assert [path.rpartition(":")[2] for path in entry.spec["wrappers"]] == [
        "AtariFrames",
        "LifeIsEpisode",
        "ClipReward",
    ]
    entry = only(f"atari:\n  env_wrapper:\n    - {name}: {{terminal_on_life_loss: False}}\n")
    assert [path.rpartition(":")[2] for path in entry.spec["wrappers"]] == [
        "AtariFrames",
        "ClipReward",
    ]


@pytest.mark.parametrize(
    ("normalize", "given"),
    [
        ("true", {}),
        ("false", None),
        ('"dict(norm_obs=True, norm_reward=False)"', {"norm_obs": True, "norm_reward": False}),
        ("\"{'norm_obs': False, 'clip_obs': 5}\"", {"norm_obs": False, "clip_obs": 5.0}),
    ],
)
def test_what_is_normalised_is_kept_as_it_was_given(normalize: str, given: Any) -> None:
    assert only(f"X-v0: {{normalize: {normalize}}}").spec["normalize"] == given


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("X-v0: {replay_buffer_class: HerReplayBuffer}", "X-v0.replay_buffer_class"),
        ("X-v0: {optimize_memory_usage: true}", "X-v0.optimize_memory_usage"),
        ("X-v0: {n_envs: many}", "X-v0.n_envs"),
        ("X-v0: {n_timesteps: .inf}", "X-v0.n_timesteps"),
        ("X-v0: {policy: MyPolicy}", "X-v0.policy"),
        ("X-v0: {normalize: 'dict(norm_obs=3)'}", "X-v0.normalize.norm_obs"),
        ("X-v0: {normalize: 'dict(training=False)'}", "X-v0.normalize.training"),
        ("X-v0: {normalize: 'yes please'}", "X-v0.normalize"),
        ("X-v0: {env_kwargs: 3}", "X-v0.env_kwargs"),
        ("X-v0: {env_wrapper: 'no path'}", "X-v0.env_wrapper"),
        ("X-v0: {env_wrapper: [[1]]}", "X-v0.env_wrapper"),
        ("X-v0: {policy_kwargs: 'dict(wings=2)'}", "X-v0.hyperparameters.wings"),
        ("X-v0: {policy_kwargs: 'dict(net_arch=dict(wings=[2]))'}", "X-v0.policy_kwargs.net_arch"),
        ("X-v0: {gamma: 2}", "X-v0.hyperparameters.gamma"),
        ("X-v0: 3", "X-v0"),
        ("[1, 2]", ""),
        ("a: [", ""),
        ("", ""),
    ],
)
def test_what_is_not_understood_is_refused_by_its_name(text: str, field: str) -> None:
    assert list(refusals(text)) == [field]


def test_a_batch_larger_than_the_rollout_is_lowered_and_noted() -> None:
    entry = only("X-v0: {n_steps: 8, batch_size: 256, n_envs: 2}")
    assert entry.spec["hyperparameters"]["batch_size"] == 16
    assert entry.notes == ["batch_size 256 is more than a rollout: 16"]


def test_an_update_after_each_episode_is_understood() -> None:
    entry = only('X-v0: {train_freq: [1, "episode"], gradient_steps: -1}', "td3")
    assert entry.spec["hyperparameters"] == {"train_freq": "episode", "gradient_steps": -1}


def test_a_hindsight_buffer_is_understood() -> None:
    text = """X-v0: {replay_buffer_class: HerReplayBuffer, replay_buffer_kwargs: "dict(
        goal_selection_strategy='episode', n_sampled_goal=4,
    )"}"""
    given = {"her": True, "goal_selection_strategy": "episode", "n_sampled_goal": 4}
    assert only(text, "tqc").spec["hyperparameters"] == given
    for wrong, field in (
        (text.replace("n_sampled_goal", "online_sampling"), "X-v0.replay_buffer_kwargs"),
        (text.replace("episode", "past"), "X-v0.hyperparameters.goal_selection_strategy"),
        (text.replace("Her", "Other"), "X-v0.replay_buffer_class"),
    ):
        assert list(refusals(wrong, "tqc")) == [field]


# What comes from anywhere.

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
MERGE_BOMB = "a0: &a0 {k: 1}\n" + "".join(
    f"a{n}: &a{n}\n  <<: [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12)
)


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        BOMB,
        MERGE_BOMB,
        "a: &a [*a]",
        "a: &a {b: *a}",
        "[" * 5000,
        "{a: " * 2000,
        "- " * 5000 + "x",
        "a: " + "9" * 5000,
        "a: 2020-13-45",
        "? [1, 2]\n: 3",
        "a: !!python/object/apply:os.system ['exit 1']",
        "a: !!binary '%'",
        "--- 1\n--- 2",
        "a: \x00",
        "x" * (MAX_YAML_BYTES + 1),
    ],
)
def test_hostile_yaml_is_refused_at_once(text: str) -> None:
    with pytest.raises(InvalidSpec) as caught:
        read_zoo_yaml(text, "ppo")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("dict(net_arch=[256, 256])", {"net_arch": [256, 256]}),
        ("dict(pi=(1, 2), b=-0.5, c=None)", {"pi": [1, 2], "b": -0.5, "c": None}),
        ("{'norm_obs': True}", {"norm_obs": True}),
        ("dict(activation_fn=nn.ReLU,)", {"activation_fn": "nn.ReLU"}),
        ("dict(a=th.nn.Tanh, b='x')", {"a": "th.nn.Tanh", "b": "x"}),
        ("dict()", {}),
    ],
)
def test_an_expression_is_read_as_data(text: str, value: Any) -> None:
    assert parse_expression(text) == value


@pytest.mark.timeout(10)
@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('exit 1')",
        "dict(a=open('/etc/passwd').read())",
        "dict(a=[x for x in range(10)])",
        "dict(a=10 ** 10 ** 10)",
        "dict(**{'a': 1})",
        "dict([('a', 1)])",
        "{**{}}",
        "{1: 2}",
        "lambda: 1",
        "f'{1}'",
        "dict(a=--1)",
        "(a := 1)",
        "1; 2",
        "dict(",
        "",
        "[" * 150 + "]" * 150,
        "(" * 3000,
        "-" * 4000 + "1",
        "a" + ".a" * 2000,
        "9" * 5000,
        "x" * (MAX_EXPRESSION_LENGTH + 1),
        "dict(a=b'x')",
        "dict(a=...)",
        "dict(a=1j)",
    ],
)
def test_an_expression_that_does_anything_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec):
        parse_expression(text)


_plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_keys = st.sampled_from(
    [
        "n_envs",
        "n_timesteps",
        "policy",
        "normalize",
        "env_wrapper",
        "frame_stack",
        "policy_kwargs",
        "train_freq",
        "wings",
        *ALGORITHMS["sac"].hyperparameters,
    ]
)
_texts = st.sampled_from(["dict(net_arch=[8])", "lin_0.1", "auto_0.1", "dict(", "a.b.C", "1e-3"])


@given(
    st.dictionaries(st.text(max_size=6), st.dictionaries(_keys, json_values | _texts), max_size=2)
)
@LAW
def test_arbitrary_entries_are_read_or_refused_and_what_is_read_is_a_valid_spec(
    data: dict[str, Any],
) -> None:
    text = yaml.safe_dump(data)
    for algorithm in ("ppo", "sac", "ars"):
        with suppress(InvalidSpec):
            for entry in read_zoo_yaml(text, algorithm).values():
                _, errors = ALGORITHMS[algorithm].resolve(entry.spec["hyperparameters"])
                assert errors == []


@given(st.text(max_size=200) | st.text(alphabet="{}[]&*a0:-, \n!<'\"", max_size=200))
@LAW
def test_arbitrary_text_is_read_or_refused(text: str) -> None:
    with suppress(InvalidSpec):
        assert isinstance(read_zoo_yaml(text, "ppo"), dict)


@given(st.text(max_size=80) | st.text(alphabet="dict()=[]{}-.,'\"1ab*:", max_size=80))
@LAW
def test_arbitrary_expressions_are_read_as_data_or_refused(text: str) -> None:
    with suppress(InvalidSpec):
        assert isinstance(parse_expression(text), str | int | float | list | dict | None)


@given(
    st.recursive(
        _plain.filter(lambda value: value == value and value not in (float("inf"), -float("inf"))),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
        max_leaves=8,
    )
)
@LAW
def test_the_text_of_plain_data_is_read_back_as_it_was(value: Any) -> None:
    assert parse_expression(repr(value)) == value


# The figures that we ship.


def test_the_shipped_figures_name_their_source_and_licence() -> None:
    data = orjson.loads(ZOO_FILE.read_bytes())
    assert data["source"] == "RL-Baselines3-Zoo 2.9.2"
    assert data["licence"] == "MIT"
    assert len(ZOO_PRESETS) > 100


@pytest.mark.parametrize("key", ZOO_PRESETS, ids="-".join)
def test_shipped_figures_are_hyperparameters_of_their_algorithm(key: tuple[str, str]) -> None:
    preset = ZOO_PRESETS[key]
    values, errors = ALGORITHMS[key[0]].resolve(preset.hyperparameters)
    assert errors == []
    assert {name: values[name] for name in preset.hyperparameters} == preset.hyperparameters


def test_collecting_keeps_cards_of_ours_and_says_where_figures_come_from() -> None:
    collected = collect_presets(
        {"ppo": EXAMPLE, "her": "nonsense: ["},
        "1.2.3",
    )
    assert collected["source"] == "RL-Baselines3-Zoo 1.2.3"
    assert list(collected["presets"]) == ["ppo"]
    (preset,) = collected["presets"]["ppo"].values()
    assert list(collected["presets"]["ppo"]) == ["HalfCheetah-v5"]
    assert preset["from"] == "ppo.yml, HalfCheetah-v4"
    assert preset["normalize"] == {}


def test_the_data_file_is_beside_the_code() -> None:
    assert Path("apps/catalogue/presets/tuned.json").resolve() == ZOO_FILE
