"""Presets and run lengths: all of them can be trained with."""

import pytest

from apps.engine.algorithms import ALGORITHMS
from apps.engine.environments import ENVIRONMENTS
from apps.engine.presets import (
    ENVIRONMENT_PRESETS,
    GENERAL_PRESETS,
    LENGTH_TITLES,
    PRESET_TITLES,
    Preset,
    PresetName,
    lengths_for,
    preset_for,
)
from apps.engine.spec import BOUNDS, RunSpec

WHERE_IT_CAN_ACT = [
    (algorithm.name, environment)
    for algorithm in ALGORITHMS.values()
    for environment in [card.id for card in ENVIRONMENTS.values()]
    if ENVIRONMENTS[environment].action_space in algorithm.action_spaces
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
    spec.check_action_space(ENVIRONMENTS[environment].action_space)
    chosen = preset_for(algorithm, environment, preset)
    assert {name: spec.hyperparameters[name] for name in chosen.hyperparameters} == (
        chosen.hyperparameters
    )
    assert spec.n_envs == chosen.n_envs


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
    if ALGORITHMS[algorithm].is_on_policy:
        assert values["n_steps"] * preset.n_envs % values["batch_size"] == 0


def test_every_algorithm_has_every_preset() -> None:
    assert set(GENERAL_PRESETS) == set(ALGORITHMS)
    for presets in GENERAL_PRESETS.values():
        assert set(presets) == set(PRESET_TITLES)


def test_the_keys_of_environment_presets_are_known_and_fit_together() -> None:
    for (algorithm, environment), presets in ENVIRONMENT_PRESETS.items():
        assert (algorithm, environment) in WHERE_IT_CAN_ACT
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
