"""Many specs out of one: seeds, and what makes two specs the same configuration."""

from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.errors import InvalidSpec
from apps.spec.fields import MAX_SEED
from apps.spec.run import RunSpec
from apps.spec.seeds import configuration_hash, with_seeds
from tests.builders import TINY_PPO
from tests.strategies import spec_data

TINY = RunSpec.from_dict(TINY_PPO)


def hash_of(**changes: Any) -> str:
    return configuration_hash(RunSpec.from_dict({**TINY_PPO, **changes}).as_dict())


def test_seeds_follow_one_another_and_differ_in_nothing_else() -> None:
    specs = with_seeds(replace(TINY, seed=7), "3")
    assert [spec.seed for spec in specs] == [7, 8, 9]
    assert {replace(spec, seed=7).as_dict() == specs[0].as_dict() for spec in specs} == {True}


@pytest.mark.parametrize("count", [0, 101, -1, 2.5, True, "many", None, [1]])
def test_a_count_of_seeds_out_of_bounds_names_value_and_bounds(count: Any) -> None:
    with pytest.raises(InvalidSpec, match=r"seeds: .*whole number from 1 to 100"):
        with_seeds(TINY, count)


def test_seeds_do_not_run_over_the_greatest_one() -> None:
    assert with_seeds(replace(TINY, seed=MAX_SEED), 1)[0].seed == MAX_SEED
    with pytest.raises(InvalidSpec, match=f"the greatest seed is {MAX_SEED}"):
        with_seeds(replace(TINY, seed=MAX_SEED), 2)


def test_runs_that_differ_in_their_seed_alone_are_one_configuration() -> None:
    assert hash_of(seed=1) == hash_of(seed=2)
    others = [
        hash_of(total_timesteps=257),
        hash_of(n_envs=2),
        hash_of(environment="Acrobot-v1"),
        hash_of(environment_kwargs={"sutton_barto_reward": True}),
        hash_of(device="cpu"),
        hash_of(hyperparameters={**TINY_PPO["hyperparameters"], "gamma": 0.9}),
    ]
    assert len({hash_of(), *others}) == len(others) + 1


def test_a_preset_is_the_values_it_gives() -> None:
    by_name = RunSpec.from_dict({"algorithm": "ppo", "preset": "fast", "total_timesteps": 100})
    by_value = replace(by_name, preset=None)
    assert configuration_hash(by_name.as_dict()) == configuration_hash(by_value.as_dict())


def test_a_field_that_a_spec_was_written_without_does_not_change_its_hash() -> None:
    older = TINY.as_dict()
    del older["frame_stack"], older["hyperparameters"]["target_kl"]
    assert configuration_hash(older) == configuration_hash(TINY.as_dict())


@settings(max_examples=40, deadline=None)
@given(data=spec_data(), seed=st.integers(0, MAX_SEED))
def test_a_hash_outlives_json_and_seeds(data: dict[str, Any], seed: int) -> None:
    try:
        spec = RunSpec.from_dict(data)
    except InvalidSpec:
        return
    read = orjson.loads(orjson.dumps(replace(spec, seed=seed).as_dict()))
    assert configuration_hash(read) == configuration_hash(spec.as_dict())
