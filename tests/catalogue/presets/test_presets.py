"""Presets and run lengths: all of them can be trained with."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.descriptions import known_descriptions
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.pages import DOCS, algorithms_page, metrics_page, presets_page
from apps.catalogue.presets.presets import (
    ENVIRONMENT_PRESETS,
    GENERAL_PRESETS,
    LENGTH_TITLES,
    PRESET_TITLES,
    ZOO_PRESETS,
    Preset,
    PresetName,
    lengths_for,
    preset_for,
)
from apps.spec.__main__ import page as spec_page
from apps.spec.fields import BOUNDS
from apps.spec.fitting import misfit, refusals
from apps.spec.run import RunSpec

WITH_MASKS = {
    name: replace(description, has_action_masks=True)
    for name, description in known_descriptions().items()
}
WHERE_IT_CAN_ACT = [
    (algorithm.name, environment)
    for algorithm in ALGORITHMS.values()
    for environment in ENVIRONMENTS
    if not misfit(algorithm, WITH_MASKS[environment])
]
ALL_PRESETS = [
    pytest.param(algorithm, preset, id=f"{where}-{name}")
    for where, algorithm, presets in [
        *((algorithm, algorithm, presets) for algorithm, presets in GENERAL_PRESETS.items()),
        *((f"{a}-{env}", a, presets) for (a, env), presets in ENVIRONMENT_PRESETS.items()),
    ]
    for name, preset in presets.items()
]


@pytest.mark.parametrize("preset", PRESET_TITLES)
@pytest.mark.parametrize(("algorithm", "environment"), WHERE_IT_CAN_ACT)
def test_a_preset_is_valid_in_every_environment_that_the_algorithm_can_act_in(
    algorithm: str, environment: str, preset: PresetName
) -> None:
    spec = RunSpec.from_dict(
        {"algorithm": algorithm, "environment": environment, "preset": preset}
    )
    assert refusals(spec, WITH_MASKS[environment]) == []
    chosen = preset_for(algorithm, environment, preset)
    assert {name: spec.hyperparameters[name] for name in chosen.hyperparameters} == (
        chosen.hyperparameters
    )
    assert spec.n_envs == chosen.n_envs
    assert (spec.normalize is None) == (chosen.normalize is None)


@pytest.mark.parametrize(("algorithm", "preset"), ALL_PRESETS)
def test_a_preset_names_hyperparameters_of_its_algorithm_and_its_source(
    algorithm: str, preset: Preset
) -> None:
    assert set(preset.hyperparameters) <= set(ALGORITHMS[algorithm].hyperparameters)
    assert 1 <= preset.n_envs <= ALGORITHMS[algorithm].max_envs
    assert preset.source


@pytest.mark.parametrize(("algorithm", "preset"), ALL_PRESETS)
def test_a_rollout_of_an_on_policy_preset_is_a_whole_number_of_batches(
    algorithm: str, preset: Preset
) -> None:
    values, errors = ALGORITHMS[algorithm].resolve(preset.hyperparameters)
    assert errors == []
    if "batch_size" in values and ALGORITHMS[algorithm].is_on_policy:
        assert values["n_steps"] * preset.n_envs % values["batch_size"] == 0


def test_every_algorithm_has_every_preset() -> None:
    assert set(GENERAL_PRESETS) == set(ALGORITHMS)
    for presets in GENERAL_PRESETS.values():
        assert set(presets) == set(PRESET_TITLES)


def test_the_keys_of_environment_presets_are_known_and_fit_together() -> None:
    for (algorithm, environment), presets in ENVIRONMENT_PRESETS.items():
        is_family = environment in FAMILIES
        assert is_family or (algorithm, environment) in WHERE_IT_CAN_ACT
        assert presets
        assert set(presets) <= set(PRESET_TITLES)


def test_an_environments_own_preset_comes_before_the_general_one() -> None:
    own = ENVIRONMENT_PRESETS["ppo", "CartPole-v1"]["fast"]
    assert preset_for("ppo", "CartPole-v1", "fast") is own
    assert preset_for("ppo", "CartPole-v1", "stable") is GENERAL_PRESETS["ppo"]["stable"]
    assert preset_for("ppo", "my.module:Env-v0", "fast") is GENERAL_PRESETS["ppo"]["fast"]


@pytest.mark.parametrize("environment", [*ENVIRONMENTS, "some.module:Env-v0"])
def test_lengths_grow_and_are_allowed_everywhere(environment: str) -> None:
    lengths = lengths_for(environment)
    assert list(lengths) == list(LENGTH_TITLES)
    steps = list(lengths.values())
    assert steps == sorted(set(steps))
    low, high = BOUNDS["total_timesteps"]
    assert low <= steps[0] <= steps[-1] <= high


def test_figures_tuned_for_a_family_are_for_each_environment_of_it() -> None:
    preset = preset_for("ppo", "ALE/Pong-v5", "high_score")
    assert preset is ENVIRONMENT_PRESETS["ppo", "atari"]["high_score"]
    assert preset.n_envs == 8
    assert preset.hyperparameters["clip_range"] == "lin_0.1"


def test_figures_of_the_zoo_are_those_of_its_files() -> None:
    preset = preset_for("dqn", "CartPole-v1", "high_score")
    assert preset.source == "RL-Baselines3-Zoo 2.9.2: dqn.yml, CartPole-v1"
    assert preset.total_timesteps == 50_000
    assert preset.hyperparameters == {
        "learning_rate": 2.3e-3,
        "batch_size": 64,
        "buffer_size": 100_000,
        "learning_starts": 1000,
        "gamma": 0.99,
        "target_update_interval": 10,
        "train_freq": 256,
        "gradient_steps": 128,
        "exploration_fraction": 0.16,
        "exploration_final_eps": 0.04,
        "net_arch": [256, 256],
    }
    walker = ZOO_PRESETS["crossq", "BipedalWalker-v3"].hyperparameters
    assert (walker["net_arch"], walker["critic_net_arch"]) == ([256, 256], [1024, 1024])


def test_what_was_tuned_with_normalisation_is_offered_with_it() -> None:
    assert {key for key in ZOO_PRESETS if "high_score" not in ENVIRONMENT_PRESETS[key]} == set()
    assert sum(preset.normalize is not None for preset in ZOO_PRESETS.values()) == 65
    spec = RunSpec.from_dict(
        {"algorithm": "a2c", "environment": "Pendulum-v1", "preset": "high_score"}
    )
    assert spec.normalize == {
        "norm_obs": True,
        "norm_reward": True,
        "clip_obs": 10.0,
        "clip_reward": 10.0,
        "gamma": None,
        "epsilon": 1e-8,
    }
    walker = preset_for("ars", "BipedalWalker-v3", "high_score")
    assert walker.normalize == {"norm_obs": True, "norm_reward": False}


@pytest.mark.parametrize(
    ("name", "page"),
    [
        ("algorithms.md", algorithms_page),
        ("presets.md", presets_page),
        ("metrics.md", metrics_page),
        ("spec.md", spec_page),
    ],
)
def test_a_reference_page_is_what_the_catalogues_say(name: str, page: Callable[[], str]) -> None:
    written = (DOCS / name).read_text(encoding="utf-8")
    assert written == page(), "run python -m apps.catalogue and -m apps.spec"


@pytest.mark.parametrize("environment", ["BreakoutNoFrameskip-v4", "ALE/Alien-v5"])
def test_a_game_without_a_card_has_its_family_s_presets_and_lengths(environment: str) -> None:
    known = "ALE/Breakout-v5"
    assert preset_for("ppo", environment, "high_score") == preset_for("ppo", known, "high_score")
    assert lengths_for(environment) == lengths_for(known)
    assert preset_for("ppo", "my:Maze-v0", "fast") == GENERAL_PRESETS["ppo"]["fast"]
