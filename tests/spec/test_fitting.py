"""The judge of fit: every reason why a spec cannot be trained in an environment, and none else."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from apps.catalogue.algorithms.backends import BACKENDS
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.descriptions import EnvironmentDescription, known_descriptions
from apps.engine.environments.making import describe, describe_spaces
from apps.errors import InvalidSpec
from apps.spec.fitting import JUDGES, check_fit, misfit, misfits_of, refusals
from apps.spec.run import RunSpec

VECTOR = spaces.Box(-1, 1, (3,))
CHOICE = spaces.Discrete(2)
PICTURE = spaces.Box(0, 255, (40, 40, 3), np.uint8)
ROW = spaces.MultiDiscrete([2, 3])
MIXED = spaces.Dict({"eye": PICTURE, "speed": VECTOR, "gear": spaces.Discrete(5)})
FIXED = spaces.Box(np.array([-1.0, 0.5]), np.array([1.0, 0.5]))
GOALS = spaces.Dict(dict.fromkeys(("observation", "achieved_goal", "desired_goal"), VECTOR))


def described(observation: Any, action: Any = CHOICE, **fields: Any) -> EnvironmentDescription:
    return replace(describe_spaces("own:Env-v0", observation, action), **fields)


def spec_of(algorithm: str = "ppo", backend: str = "torch", **changes: Any) -> RunSpec:
    """Return a spec; what is no field of it is a hyperparameter."""
    fields = {name: changes.pop(name) for name in ("normalize",) if name in changes}
    asked = {"algorithm": algorithm, "backend": backend, "environment": "own:Env-v0"}
    return RunSpec.from_dict({**asked, **fields, "hyperparameters": changes})


def refused(spec: RunSpec, description: EnvironmentDescription) -> dict[str, str]:
    return {error.field: error.message for error in refusals(spec, description)}


@pytest.mark.parametrize(
    ("algorithm", "description", "said"),
    [
        ("dqn", described(VECTOR, VECTOR), "acts in discrete only, and actions here are box"),
        ("crossq", described(PICTURE, VECTOR), "reads vector only, and observations are image"),
        ("ars", described(MIXED, VECTOR), "observations are dict"),
        ("maskable_ppo", described(VECTOR), "needs an environment with action_masks()"),
        ("maskable_ppo", described(VECTOR, has_action_masks=True), ""),
        ("recurrent_ppo", described(ROW), "reads no MultiDiscrete"),
        ("recurrent_ppo", described(spaces.Dict({"a": VECTOR, "b": ROW})), "no MultiDiscrete"),
        ("sac", described(VECTOR, FIXED), "a number here has the same low and high"),
        ("ppo", described(VECTOR, FIXED), ""),
        ("ppo", described(MIXED, spaces.MultiBinary(3)), ""),
        ("ppo", described(spaces.Text(3)), "cannot, and nothing else can: its observations are"),
    ],
)
def test_an_algorithm_that_cannot_act_somewhere_says_why(
    algorithm: str, description: EnvironmentDescription, said: str
) -> None:
    reason = misfit(ALGORITHMS[algorithm], description)
    assert said in reason if said else not reason
    assert misfits_of(description)[algorithm] == reason


def test_every_reason_why_an_algorithm_cannot_act_is_said_at_once() -> None:
    reason = misfit(ALGORITHMS["crossq"], described(PICTURE))
    assert reason == (
        "acts in box only, and actions here are discrete; "
        "reads vector only, and observations are image"
    )


@pytest.mark.parametrize(
    ("observation", "fits"),
    [
        (VECTOR, True),
        (spaces.MultiBinary(4), True),
        (spaces.Dict({"a": VECTOR}), True),
        (spaces.Discrete(5), False),
        (spaces.Dict({"a": VECTOR, "b": spaces.Discrete(5)}), False),
    ],
)
def test_what_jax_reads_has_no_categories(observation: Any, fits: bool) -> None:
    reason = misfit(BACKENDS["sbx"].algorithms["sac"], described(observation, VECTOR))
    assert ("use backend torch" in reason) != fits


def test_nobody_knows_who_can_act_where_nothing_is_described() -> None:
    assert misfits_of(None) == {}


@pytest.mark.parametrize("action", [VECTOR, ROW, spaces.MultiBinary(2)])
def test_a_refused_algorithm_names_those_that_can_act_there(action: Any) -> None:
    description = described(VECTOR, action)
    said = refused(spec_of("dqn"), description)["algorithm"]
    assert said.startswith("DQN cannot act in own:Env-v0: it acts in discrete only")
    able = said.rpartition("algorithms that can: ")[2].split(", ")
    assert able == [name for name, words in misfits_of(description).items() if not words]
    assert "ppo" in able
    assert not {"dqn", "maskable_ppo"} & {*able}


@pytest.mark.parametrize(
    ("observation", "able"), [(VECTOR, "ppo"), (spaces.Discrete(3), "none of backend sbx")]
)
def test_those_that_can_are_of_the_asked_backend(observation: Any, able: str) -> None:
    said = refused(spec_of("dqn", "sbx"), described(observation, ROW))["algorithm"]
    assert said.endswith(f"algorithms that can: {able}")


def test_actions_that_nobody_can_act_in_are_refused_as_such() -> None:
    space = replace(described(VECTOR).action_space, kind="other")
    said = refused(spec_of(), replace(described(VECTOR), action_space=space))["algorithm"]
    assert said.endswith("algorithms that can: none here")


def test_state_dependent_exploration_needs_continuous_actions() -> None:
    assert refused(spec_of(use_sde=True), described(VECTOR, VECTOR)) == {}
    said = refused(spec_of(use_sde=True), described(VECTOR))
    assert "true is not allowed with a discrete" in said["hyperparameters.use_sde"]


@pytest.mark.parametrize(
    ("description", "said"),
    [
        (described(VECTOR), "here they are no dictionary"),
        (described(MIXED), "here they are eye, gear, speed"),
        (described(GOALS), "it has no compute_reward(achieved_goal, desired_goal, info)"),
        (described(GOALS, has_goal_reward=True), ""),
    ],
)
def test_hindsight_needs_goals_and_what_they_would_have_paid(
    description: EnvironmentDescription, said: str
) -> None:
    found = refused(spec_of("dqn", her=True), description)
    assert said in found["hyperparameters.her"] if said else not found
    assert refused(spec_of("dqn"), description) == {}


def test_a_description_knows_whether_another_goal_would_have_been_paid() -> None:
    assert describe("GoalWalk-v0").has_goal_reward
    assert not describe("SilentGoalWalk-v0").has_goal_reward


@pytest.mark.parametrize(
    ("observation", "why"),
    [
        (VECTOR, ""),
        (MIXED, ""),
        (spaces.Discrete(4), "they are discrete and have no mean"),
        (PICTURE, "they are pictures, which the policy scales itself"),
        (spaces.Dict({"eye": PICTURE, "gear": CHOICE}), "none of eye, gear is a vector"),
    ],
)
def test_observations_without_a_mean_are_not_normalised(observation: Any, why: str) -> None:
    found = refused(spec_of(normalize=True), described(observation))
    assert why in found["normalize"] if why else not found
    assert refused(spec_of(normalize={"norm_obs": False}), described(observation)) == {}


def test_all_refusals_come_in_one_round_and_in_one_order() -> None:
    spec = spec_of("sac", use_sde=True, her=True, normalize=True)
    description = described(spaces.Discrete(4), CHOICE)
    assert [*refused(spec, description)] == [*JUDGES]
    with pytest.raises(InvalidSpec) as caught:
        check_fit(spec, description)
    assert caught.value.errors == refusals(spec, description)


def test_where_nothing_can_be_trained_that_alone_is_said() -> None:
    spec = spec_of("sac", use_sde=True, her=True, normalize=True)
    assert [*refused(spec, described(spaces.Text(4)))] == ["environment"]


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
@pytest.mark.parametrize("card", ENVIRONMENTS.values(), ids=ENVIRONMENTS)
def test_a_plain_spec_is_accepted_exactly_where_its_algorithm_can_act(
    algorithm: Any, card: Any
) -> None:
    spec = RunSpec.from_dict({"algorithm": algorithm.name, "environment": card.id})
    description = known_descriptions()[card.id]
    has_misfit = bool(misfit(algorithm, description))
    assert [*refused(spec, description)] == ["algorithm"] * has_misfit
    if card.action_space not in algorithm.action_spaces:
        assert has_misfit
