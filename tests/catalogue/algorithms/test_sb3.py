"""The catalogue of algorithms against the library that it describes."""

import importlib
import inspect
import re
from typing import Any

import pytest
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.her.goal_selection_strategy import KEY_TO_GOAL_STRATEGY

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.off_policy import HINDSIGHT_KEYWORDS
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.schema import Hyperparameter
from apps.words import shown

PARAMETERS = [
    pytest.param(algorithm, schema, id=f"{algorithm.name}-{name}")
    for algorithm in ALGORITHMS.values()
    for name, schema in algorithm.hyperparameters.items()
]
CONSTRUCTOR_PARAMETERS = [param for param in PARAMETERS if not param.values[1].is_ours]
each_algorithm = pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
each_parameter = pytest.mark.parametrize(("algorithm", "schema"), PARAMETERS)
each_constructor_parameter = pytest.mark.parametrize(
    ("algorithm", "schema"), CONSTRUCTOR_PARAMETERS
)


def library_class(algorithm: Algorithm) -> Any:
    """Import the class that the catalogue names."""
    module, _, name = algorithm.class_path.partition(":")
    return getattr(importlib.import_module(module), name)


@each_constructor_parameter
def test_a_hyperparameter_is_a_keyword_of_the_librarys_constructor(
    algorithm: Algorithm, schema: Hyperparameter
) -> None:
    assert schema.name in inspect.signature(library_class(algorithm)).parameters


@each_constructor_parameter
def test_a_default_is_the_librarys_default(algorithm: Algorithm, schema: Hyperparameter) -> None:
    default = inspect.signature(library_class(algorithm)).parameters[schema.name].default
    assert schema.default == default
    assert isinstance(schema.default, bool) == isinstance(default, bool)


# Ours, and no keyword of a policy: they name one, or make an object.
NOT_OF_POLICIES = {
    "policy",
    "critic_net_arch",
    "noise_type",
    "noise_std",
    "her",
    *HINDSIGHT_KEYWORDS,
}


def test_defaults_of_hindsight_are_those_of_the_librarys_buffer() -> None:
    keywords = inspect.signature(HerReplayBuffer).parameters
    for schema in ALGORITHMS["dqn"].hyperparameters.values():
        if schema.name in HINDSIGHT_KEYWORDS:
            assert schema.default == keywords[schema.name].default
            assert not schema.choices or {*schema.choices} == {*KEY_TO_GOAL_STRATEGY}


@pytest.mark.parametrize(
    ("algorithm", "schema"),
    [
        param
        for param in PARAMETERS
        if param.values[1].is_ours and param.values[1].name not in NOT_OF_POLICIES
    ],
)
def test_what_is_ours_is_a_keyword_of_the_policy_with_its_default(
    algorithm: Algorithm, schema: Hyperparameter
) -> None:
    aliases = library_class(algorithm).policy_aliases
    policy = aliases["MlpLstmPolicy" if algorithm.is_recurrent else "MlpPolicy"]
    keyword = inspect.signature(policy).parameters[schema.name]
    assert schema.default in (None, keyword.default)


@each_algorithm
def test_an_algorithm_names_the_library_that_has_it(algorithm: Algorithm) -> None:
    assert algorithm.library in {"stable_baselines3", "sb3_contrib"}
    assert library_class(algorithm).__module__.startswith(algorithm.library)


@each_algorithm
def test_a_policy_is_there_for_each_kind_of_observation_that_is_claimed(
    algorithm: Algorithm,
) -> None:
    aliases = set(library_class(algorithm).policy_aliases)
    kinds = {"vector": "Mlp", "image": "Cnn", "dict": "MultiInput"}
    assert algorithm.observations == {
        kind for kind, stem in kinds.items() if aliases & {f"{stem}Policy", f"{stem}LstmPolicy"}
    }


@each_algorithm
def test_the_catalogue_has_every_number_that_the_library_learns_with(algorithm: Algorithm) -> None:
    about_learning = {
        name
        for name, parameter in inspect.signature(library_class(algorithm)).parameters.items()
        if isinstance(parameter.default, int | float) and name not in {"verbose", "seed"}
    }
    # How the library records and builds, and its n-step returns, are not offered yet.
    not_offered = {"stats_window_size", "_init_setup_model", "optimize_memory_usage"}
    if algorithm.has_replay_buffer:
        not_offered.add("n_steps")
    assert about_learning - not_offered <= set(algorithm.hyperparameters)


@each_algorithm
def test_the_kinds_of_action_space_are_those_that_the_library_supports(
    algorithm: Algorithm,
) -> None:
    # DDPG is a TD3 with other defaults and leaves its spaces to it.
    sources = (inspect.getsource(base.__init__) for base in library_class(algorithm).__mro__)
    source = next(source for source in sources if "supported_action_spaces=(" in source)
    kinds = {
        "discrete": "spaces.Discrete",
        "box": "spaces.Box",
        "multi_discrete": "spaces.MultiDiscrete",
        "multi_binary": "spaces.MultiBinary",
    }
    # Its rollouts keep such actions as bytes, which its distribution cannot be asked about.
    broken = {"multi_binary"} if algorithm.is_recurrent else set()
    named = {kind for kind, name in kinds.items() if name in source}
    assert named - broken == algorithm.action_spaces


@each_algorithm
def test_an_algorithm_is_on_policy_where_the_librarys_is(algorithm: Algorithm) -> None:
    bases = [base.__name__ for base in library_class(algorithm).__mro__]
    assert ("OnPolicyAlgorithm" in bases) == algorithm.is_on_policy
    assert ("OffPolicyAlgorithm" in bases) == algorithm.has_replay_buffer
    assert not (algorithm.is_on_policy and algorithm.has_replay_buffer)


@each_algorithm
def test_an_algorithm_answers_to_its_name(algorithm: Algorithm) -> None:
    assert ALGORITHMS[algorithm.name] is algorithm
    assert algorithm.title == library_class(algorithm).__name__
    assert list(algorithm.hyperparameters) == [s.name for s in algorithm.hyperparameters.values()]


@each_parameter
def test_a_schema_is_complete(algorithm: Algorithm, schema: Hyperparameter) -> None:
    assert schema.meaning.endswith(".")
    assert (schema.default is None) <= schema.is_optional
    if schema.kind in {"int", "float"}:
        assert schema.low is not None
        assert schema.high is not None
        assert schema.low < schema.high
    else:
        assert (schema.low, schema.high) == (None, None)
    assert bool(schema.choices) == (schema.kind == "choice")
    assert not schema.is_schedule or schema.kind == "float"


@each_parameter
def test_a_default_is_within_its_own_bounds(algorithm: Algorithm, schema: Hyperparameter) -> None:
    assert schema.parse(schema.default) == schema.default


@each_parameter
def test_the_words_for_what_is_allowed_name_the_exact_bounds(
    algorithm: Algorithm, schema: Hyperparameter
) -> None:
    text = schema.allowed()
    if schema.low is not None:
        bounds = re.search(r"from (\S+) to ([^\s,]+)", text)
        assert bounds is not None
        assert [float(bound) for bound in bounds.groups()] == [schema.low, schema.high]
    assert all(choice in text for choice in schema.choices)
    assert ("null" in text) == schema.is_optional


def test_bounds_of_whole_numbers_are_written_in_full() -> None:
    assert ALGORITHMS["ppo"].hyperparameters["n_steps"].allowed() == "an integer from 2 to 1000000"
    assert ALGORITHMS["ppo"].hyperparameters["learning_rate"].allowed() == (
        "a number from 1e-07 to 1, or lin_<number> for linear decay"
    )


@each_parameter
def test_shares_and_discounts_go_from_0_to_1(algorithm: Algorithm, schema: Hyperparameter) -> None:
    shares = {
        "gamma",
        "gae_lambda",
        "tau",
        "exploration_fraction",
        "exploration_initial_eps",
        "exploration_final_eps",
    }
    if schema.name in shares:
        assert (schema.low, schema.high) == (0.0, 1.0)


def test_resolving_nothing_gives_every_default_and_no_refusal() -> None:
    for algorithm in ALGORITHMS.values():
        values, errors = algorithm.resolve({})
        assert errors == []
        assert values == {name: s.default for name, s in algorithm.hyperparameters.items()}


def test_a_short_value_is_shown_as_it_is_and_a_long_one_is_cut() -> None:
    assert shown("lin_0.1") == "'lin_0.1'"
    assert shown([64, 64.5, True, None]) == "[64, 64.5, True, None]"
    assert len(shown("x" * 10_000)) <= 80
    assert len(shown([["x" * 1000] * 1000] * 1000)) < 20_000
