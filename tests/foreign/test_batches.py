"""Batch files: what a file says, line by line, and what is refused before anything is made."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.errors import InvalidSpec
from apps.foreign.batches import MAX_RUNS, read_batch
from apps.spec.run import RunSpec
from tests.strategies import json_values


def batch(*runs: Any, **defaults: Any) -> str:
    return json.dumps({"defaults": defaults, "runs": runs})  # JSON is YAML.


def test_a_grid_is_every_combination_in_the_order_of_its_names() -> None:
    text = """
runs:
  - algorithm: dqn
    seeds: [4, 9]

  - grid:
      environment: [CartPole-v1, Acrobot-v1]
      hyperparameters.gamma: [0.9, 0.99]
    hyperparameters: {n_steps: 64}
"""
    one, *grid = read_batch(text)
    assert (one.entry, one.line, one.data) == (1, 3, {"algorithm": "dqn"})
    assert [spec.seed for spec in one.specs(RunSpec.from_dict(one.data))] == [4, 9]
    assert {(line.entry, line.line) for line in grid} == {(2, 6)}
    assert [line.data for line in grid] == [
        {"environment": environment, "hyperparameters": {"n_steps": 64, "gamma": gamma}}
        for environment in ("CartPole-v1", "Acrobot-v1")
        for gamma in (0.9, 0.99)
    ]
    assert grid[1].varied == {"environment": "CartPole-v1", "hyperparameters.gamma": 0.99}


def test_what_is_nearer_to_a_run_wins() -> None:
    (line,) = read_batch(
        batch(
            {"hyperparameters": {"gamma": 0.9}, "length": "quick", "grid": {"seed": [3]}},
            hyperparameters={"gamma": 0.5, "n_steps": 8},
            total_timesteps=9,
            seeds=2,
            name="x",
        )
    )
    assert line.data == {
        "hyperparameters": {"gamma": 0.9, "n_steps": 8},
        "length": "quick",
        "seed": 3,
    }
    assert (line.seeds, line.name, line.errors) == (2, "x", [])


@pytest.mark.parametrize(
    ("run", "field", "said"),
    [
        (7, "", "7 is not an object"),
        ({"sedes": 3}, "sedes", "unknown; allowed: algorithm"),
        ({"hyperparameters": [1]}, "hyperparameters", "not an object"),
        ({"name": 7}, "name", "7 is not text"),
        ({"grid": [1]}, "grid", "not an object of lists"),
        ({"grid": {"colour": [1]}}, "grid.colour", "unknown; allowed"),
        ({"grid": {"gamma": [1]}}, "grid.gamma", "hyperparameters.NAME"),
        ({"grid": {"hyperparameters": [1]}}, "grid.hyperparameters", "hyperparameters.NAME"),
        ({"grid": {"name": ["a"]}}, "grid.name", "unknown; allowed"),
        ({"grid": {"seed": 3}}, "grid.seed", "3 is not a list"),
        ({"grid": {"seed": []}}, "grid.seed", "not a list of values"),
    ],
)
def test_a_line_that_cannot_be_read_says_why_and_stops_no_other(
    run: Any, field: str, said: str
) -> None:
    bad, good = read_batch(batch(run, {"algorithm": "dqn"}))
    assert [error.field for error in bad.errors] == [field]
    assert said in bad.errors[0].message
    assert good.data == {"algorithm": "dqn"}


@pytest.mark.parametrize("seeds", [[], [1, 1], [-1], [1.5], ["a"], 0, 101, "many", None, {}])
def test_seeds_are_a_count_or_a_list_of_different_ones(seeds: Any) -> None:
    (line,) = read_batch(batch({"seeds": seeds}))
    with pytest.raises(InvalidSpec, match="seeds"):
        line.specs(RunSpec.from_dict({}))


def test_a_list_of_seeds_beside_a_seed_is_refused() -> None:
    (line,) = read_batch(batch({"seeds": [1], "seed": 2}))
    with pytest.raises(InvalidSpec, match="cannot both be given"):
        line.specs(RunSpec.from_dict({}))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7",
        "[1]",
        "runs: 3",
        "runs: []",
        "run: [{}]",
        "runs: [{}]\nmore: 1",
        "runs: [{}]\ndefaults: [1]",
        "runs: [{}]\ndefaults: {grid: {}}",
        "a: &a [*a]",
        "runs: [{seed: 1, seed: 2}]",
        "runs: !!python/object/apply:os.system ['exit 1']",
    ],
)
def test_what_is_no_batch_file_is_refused(text: str) -> None:
    with pytest.raises(InvalidSpec):
        read_batch(text)


def test_too_many_runs_are_refused_before_they_are_multiplied() -> None:
    wide = {"grid": {f"hyperparameters.h{n}": [*range(100)] for n in range(30)}}
    with pytest.raises(InvalidSpec, match=f"too many for a file; at most {MAX_RUNS}"):
        read_batch(batch(wide))
    with pytest.raises(InvalidSpec, match="1001 runs"):
        read_batch(batch(*[{"seeds": 100}] * 10, {}))
    assert len(read_batch(batch(*[{"seeds": 100}] * 10))) == 10


@settings(max_examples=60, deadline=None)
@given(
    runs=st.lists(
        json_values
        | st.dictionaries(
            st.sampled_from(["grid", "seeds", "seed", "name", "hyperparameters", "algorithm"]),
            json_values,
        ),
        max_size=3,
    ),
)
def test_whatever_a_file_says_is_read_or_refused(runs: Any) -> None:
    with suppress(InvalidSpec):
        for line in read_batch(json.dumps({"runs": runs})):
            with suppress(InvalidSpec):
                line.specs(RunSpec.from_dict(line.data))
