"""What is said of an environment before training: spaces, storage, who can act in it."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.buffers import (
    BaseBuffer,
    DictReplayBuffer,
    ReplayBuffer,
    RolloutBuffer,
)
from stable_baselines3.common.preprocessing import is_image_space

from apps.catalogue.environments.cards import ENVIRONMENTS, EnvironmentCard
from apps.catalogue.environments.descriptions import EnvironmentDescription, known_descriptions
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.ids import is_installed
from apps.catalogue.environments.profiles import make_profile
from apps.catalogue.environments.storage import buffer_bytes
from apps.engine.environments.making import _describe_space, describe
from apps.jobs.verbs.environments import known_profile
from apps.spec.fitting import misfits_of

each_card = pytest.mark.parametrize("card", ENVIRONMENTS.values(), ids=ENVIRONMENTS)


@each_card
def test_every_number_of_a_known_environment_has_its_meaning(card: EnvironmentCard) -> None:
    profile = known_profile(card.id)
    description = known_descriptions()[card.id]
    assert description.action_space.kind == card.action_space
    for rows, space in (
        (profile.observation, description.observation_space),
        (profile.action, description.action_space),
    ):
        assert all(row.meaning for row in rows)
        last = int(rows[-1].label.split()[-1])
        assert last + 1 == (space.n if space.kind == "discrete" else space.size)


@each_card
def test_a_kept_description_is_that_of_the_installed_package(card: EnvironmentCard) -> None:
    if not is_installed(card.family):
        pytest.skip(f"{FAMILIES[card.family].title} is missing")
    family = FAMILIES[card.family]
    described = describe(card.id, family.kwargs, family.wrappers, family.frame_stack)
    assert replace(described, summary="") == known_descriptions()[card.id]


def described(observation: Any, action: Any, **fields: Any) -> EnvironmentDescription:
    return EnvironmentDescription(
        "own:Env-v0",
        _describe_space(observation),
        _describe_space(action),
        None,
        None,
        (),
        30,
        **fields,
    )


VECTOR = spaces.Box(-1, 1, (3,), np.float64)
PICTURE = spaces.Box(0, 255, (8, 8, 3), np.uint8)
BOTH = spaces.Dict({"eye": PICTURE, "speed": VECTOR, "gear": spaces.Discrete(5)})


def array_bytes(buffer: BaseBuffer) -> int:
    held = list(vars(buffer).values())
    held += [array for inner in held if isinstance(inner, dict) for array in inner.values()]
    return sum(array.nbytes for array in held if isinstance(array, np.ndarray))


@pytest.mark.parametrize("n_envs", [1, 4])
@pytest.mark.parametrize(
    ("algorithm", "buffer_class", "observation", "action"),
    [
        ("dqn", ReplayBuffer, PICTURE, spaces.Discrete(4)),
        ("dqn", ReplayBuffer, spaces.Discrete(500), spaces.Discrete(4)),
        ("sac", ReplayBuffer, VECTOR, spaces.Box(-1, 1, (2,), np.float64)),
        ("sac", DictReplayBuffer, BOTH, spaces.Box(-1, 1, (2,), np.float32)),
        ("ppo", RolloutBuffer, VECTOR, spaces.MultiDiscrete([3, 4])),
    ],
)
def test_the_reckoned_size_of_a_buffer_is_that_of_its_arrays(
    algorithm: str, buffer_class: Any, observation: Any, action: Any, n_envs: int
) -> None:
    rows = 1000
    per_environment = rows if algorithm == "ppo" else rows * n_envs
    real = buffer_class(per_environment, observation, action, device="cpu", n_envs=n_envs)
    values = {"buffer_size": per_environment, "n_steps": rows}
    said = described(observation, action)
    reckoned = buffer_bytes(algorithm, values, n_envs, said.observation_space, said.action_space)
    assert reckoned == array_bytes(real)


@pytest.mark.parametrize("space", [VECTOR, PICTURE, spaces.Box(0, 1, (8, 8, 3)), BOTH["gear"]])
def test_a_picture_is_what_the_library_takes_for_one(space: Any) -> None:
    assert _describe_space(space).is_image == is_image_space(space)


def test_the_profile_of_an_unknown_environment_names_its_numbers_by_index() -> None:
    low, high = np.array([[-1, 0, 0, -np.inf], [1, 9, 9, np.inf]], np.float32)
    card = EnvironmentCard("own:Env-v0", "", "", "discrete", "", "", None, None)
    said = described(spaces.Box(low, high), spaces.Discrete(3))
    profile = make_profile(card, "Your own", said, misfits_of(said))
    rows = [(row.label, row.low, row.high) for row in profile.observation]
    assert rows == [("0", -1.0, 1.0), ("1 to 2", 0.0, 9.0), ("3", None, None)]
    assert [row.label for row in profile.action] == ["0 to 2"]
    assert profile.is_installed
    assert profile.algorithms == ["ppo", "dqn", "a2c", "trpo", "recurrent_ppo", "qrdqn", "ars"]
    assert profile.lengths["quick"] == 20_000
