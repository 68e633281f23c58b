"""What a child's spec has otherwise than its parent's."""

from apps.experiments.differences import Difference, differences
from apps.spec.run import RunSpec
from tests.builders import TINY_PPO

PARENT = RunSpec.from_dict(TINY_PPO).as_dict()


def test_a_spec_does_not_differ_from_itself() -> None:
    assert differences(PARENT, PARENT) == []


def test_hyperparameters_are_compared_one_by_one() -> None:
    child = {**PARENT, "hyperparameters": {**PARENT["hyperparameters"], "gamma": 0.5}}
    (found,) = differences(PARENT, child)
    assert found == Difference("hyperparameters.gamma", 0.99, 0.5)
    assert found.label == "gamma"


def test_every_other_field_is_compared_whole() -> None:
    child = {**PARENT, "seed": 2, "total_timesteps": 512}
    assert [(one.label, one.before, one.after) for one in differences(PARENT, child)] == [
        ("total_timesteps", 256, 512),
        ("seed", 1, 2),
    ]


def test_what_one_of_them_has_not_is_said_to_be_unset() -> None:
    gained = {**PARENT, "environment_kwargs": {"wind": 1.5}}
    assert differences(PARENT, gained) == [Difference("environment_kwargs.wind", "unset", 1.5)]
    assert differences(gained, PARENT) == [Difference("environment_kwargs.wind", 1.5, "unset")]


def test_null_is_a_value() -> None:
    child = {**PARENT, "hyperparameters": {**PARENT["hyperparameters"], "net_arch": None}}
    (found,) = differences(PARENT, child)
    assert (found.before, found.after) == ([8], None)


def test_what_is_normalised_is_said_in_words_and_its_keywords_one_by_one() -> None:
    both = RunSpec.from_dict({**TINY_PPO, "normalize": True}).as_dict()
    assert differences(PARENT, both) == [
        Difference("normalize", "nothing", "observations and rewards")
    ]
    clipped = {**both, "normalize": {**both["normalize"], "clip_obs": 5.0}}
    assert differences(both, clipped) == [Difference("normalize.clip_obs", 10.0, 5.0)]
    older = {name: value for name, value in PARENT.items() if name != "normalize"}
    assert differences(older, PARENT) == []
