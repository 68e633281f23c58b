"""Rows of outside scripts: what is taken is an event, what is refused is named."""

import math
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.errors import InvalidSpec
from apps.foreign.rows import MAX_KEY_LENGTH, MAX_ROWS, MAX_VALUES, Batch, read_batch, read_rows
from apps.rundir import events
from apps.spec.logged import LoggedSpec
from tests.strategies import json_values

LAW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
NOW = 1_750_000_000.0
SPECIAL = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}
# A JSON parser gives whole numbers of 64 bits and finite ones of any size.
numbers = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
keys = st.text("abc/_é ", min_size=1, max_size=9).filter(lambda key: key == key.strip())
values = st.dictionaries(keys, numbers | st.sampled_from([*SPECIAL, None]), min_size=1, max_size=5)
steps = st.integers(0, 2**53 - 1)
good_rows = (
    st.fixed_dictionaries({"step": steps, "values": values}, optional={"t": st.floats(0, NOW)})
    | st.fixed_dictionaries(
        {
            "type": st.just("episode"),
            "step": steps,
            "return": numbers,
            "length": st.integers(0, 99),
        }
    )
    | st.fixed_dictionaries(
        {
            "type": st.just("evaluation"),
            "step": steps,
            "returns": st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5),
        }
    )
)
almost_rows = st.dictionaries(
    st.sampled_from(["type", "step", "t", "values", "special", "return", "length", "returns"]),
    json_values | st.sampled_from(["metrics", "episode", "evaluation", 3, {"a": 1.0}]),
)


def as_parsed(value: Any) -> Any:
    """Return a value as a JSON parser gives it."""
    return orjson.loads(orjson.dumps(value))


def is_json(value: Any) -> bool:
    try:
        orjson.dumps(value)
    except (orjson.JSONEncodeError, TypeError):
        return False
    return True


@given(st.lists(good_rows | almost_rows.filter(is_json) | json_values.filter(is_json), max_size=8))
@LAW
def test_each_row_is_an_event_or_has_a_reason(rows: list[Any]) -> None:
    taken, errors = read_rows(Batch(as_parsed(rows), "w1", 5), (), NOW)
    assert len(taken) == len(rows)
    assert {index for index, row in enumerate(taken) if row is None} == {e.row for e in errors}
    assert all(error.message and "allowed" in error.message for error in errors)
    for index, row in enumerate(taken):
        if row is not None:
            assert events.decode(events.encode(row)) == row
            assert (row["writer"], row["seq"]) == ("w1", 5 + index)


@given(good_rows)
@LAW
def test_a_good_row_is_taken_with_every_number(row: dict[str, Any]) -> None:
    (event,), errors = read_rows(Batch([as_parsed(row)]), (), NOW)
    assert errors == []
    assert event is not None
    assert event["step"] == row["step"]
    assert event["t"] == row.get("t", NOW)
    for key, value in row.get("values", {}).items():
        found = events.value_of(event, key)
        wanted = SPECIAL.get(value or "nan", 0.0) if isinstance(value, str | None) else value
        assert found == float(wanted) or (math.isnan(found or 0.0) and math.isnan(wanted))


@given(json_values.filter(is_json))
@LAW
def test_any_batch_is_read_or_refused(data: Any) -> None:
    try:
        batch = read_batch(as_parsed(data))
    except InvalidSpec:
        return
    assert batch.rows == data["rows"]


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        ([], "", "a row must be an object"),
        ({}, "step", "None is not allowed; it must be a whole number from 0"),
        ({"step": -1, "values": {"a": 1}}, "step", "-1 is not allowed"),
        ({"step": True, "values": {"a": 1}}, "step", "True is not allowed"),
        ({"step": 2.5, "values": {"a": 1}}, "step", "2.5 is not allowed"),
        ({"step": 2**53, "values": {"a": 1}}, "step", "is not allowed"),
        ({"step": 1, "t": NOW * 1000, "values": {"a": 1}}, "t", "it must be unix seconds"),
        ({"step": 1, "t": "now", "values": {"a": 1}}, "t", "it must be unix seconds"),
        ({"step": 1, "type": "status"}, "type", "allowed: metrics, episode, evaluation"),
        ({"step": 1, "vals": {}}, "vals", "this field is unknown; allowed: special, step, t"),
        ({"step": 1}, "values", "it must be an object of 1 to 1000 metrics"),
        ({"step": 1, "values": {}}, "values", "it must be an object of 1 to 1000 metrics"),
        ({"step": 1, "values": {"a": "fast"}}, "values.a", "'fast' is not allowed; it must be a"),
        ({"step": 1, "values": {"a": True}}, "values.a", "True is not allowed"),
        ({"step": 1, "values": {"a": [1]}}, "values.a", "[1] is not allowed"),
        ({"step": 1, "values": {"a,b": 1}}, "values", "no comma"),
        ({"step": 1, "values": {" a": 1}}, "values", "no space at either end"),
        ({"step": 1, "values": {"a\n": 1}}, "values", "no line break"),
        ({"step": 1, "values": {"": 1}}, "values", "1 to 200 characters"),
        ({"step": 1, "values": {"a" * (MAX_KEY_LENGTH + 1): 1}}, "values", "1 to 200"),
        ({"step": 1, "values": {"episode/return": 1}}, "values", "of type episode"),
        (
            {"step": 1, "values": {"a": None}, "special": {"a": "huge"}},
            "special.a",
            "'huge' is not allowed",
        ),
        ({"step": 1, "values": {"a": 1}, "special": {"a": "nan"}}, "special.a", "that is null"),
        ({"step": 1, "type": "episode", "length": 3}, "return", "it must be a number"),
        ({"step": 1, "type": "episode", "return": 1.0}, "length", "it must be a whole number"),
        ({"step": 1, "type": "evaluation", "returns": []}, "returns", "1 to 1000 numbers"),
        ({"step": 1, "type": "evaluation", "returns": ["nan"]}, "returns.0", "finite number"),
        ({"step": 1, "type": "evaluation", "returns": [1e200]}, "returns", "finite sum"),
        (
            {"step": 1, "type": "evaluation", "returns": [1.0], "lengths": [1, 2]},
            "lengths",
            "one for each",
        ),
    ],
)
def test_a_refused_row_names_field_value_and_what_is_allowed(
    row: Any, field: str, words: str
) -> None:
    good = {"step": 1, "values": {"a": 1}}
    taken, errors = read_rows(Batch([good, row, good]), (), NOW)
    ((error),) = errors
    assert (error.row, error.field) == (1, field)
    assert words in error.message
    assert [one is None for one in taken] == [False, True, False]


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (None, "batch"),
        ([], "batch"),
        ({}, "rows"),
        ({"rows": {}}, "rows"),
        ({"rows": [1] * (MAX_ROWS + 1)}, "rows"),
        ({"rows": [], "run": "x"}, "run"),
        ({"rows": [], "writer": "a b", "seq": 1}, "writer"),
        ({"rows": [], "writer": "w"}, "seq"),
        ({"rows": [], "seq": 1}, "seq"),
        ({"rows": [], "writer": "w", "seq": 0}, "seq"),
        ({"rows": [], "writer": "w", "seq": "1"}, "seq"),
    ],
)
def test_a_batch_that_cannot_be_read_is_refused_whole(data: Any, field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        read_batch(data)
    assert [error.field for error in refused.value.errors] == [field]


def test_a_row_may_hold_many_values_but_not_any_number() -> None:
    rows = [{"step": 1, "values": {f"m{i}": i for i in range(n)}} for n in (MAX_VALUES, 1001)]
    taken, errors = read_rows(Batch(rows), (), NOW)
    assert taken[0] is not None
    assert [error.row for error in errors] == [1]


def test_an_evaluation_says_what_its_returns_come_to() -> None:
    row = {"type": "evaluation", "step": 8, "returns": [1, 2, 6], "lengths": [3, 3, 6], "seed": 7}
    (event,), _ = read_rows(Batch([row], "w", 3), (), NOW)
    assert event is not None
    assert (event["return_mean"], event["return_min"], event["return_max"]) == (3.0, 1.0, 6.0)
    assert event["return_std"] == pytest.approx(math.sqrt(14 / 3))
    assert (event["n_episodes"], event["length_mean"], event["name"]) == (3, 4.0, "eval_w_3")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"algorithm": "x" * 41}, "algorithm"),
        ({"environment": "a\nb"}, "environment"),
        ({"environment": 3}, "environment"),
        ({"seed": -1}, "seed"),
        ({"total_timesteps": 0}, "total_timesteps"),
        ({"config": [1]}, "config"),
        ({"config": {"a": "x" * 70_000}}, "config"),
        ({"gamma": 0.9}, "gamma"),
    ],
)
def test_a_spec_that_a_script_says_is_refused_field_by_field(data: Any, field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        LoggedSpec.from_dict(data)
    assert [error.field for error in refused.value.errors] == [field]


def test_a_config_may_be_nested_but_not_without_end() -> None:
    deep: Any = 1
    for _ in range(900):
        deep = [deep]
    with pytest.raises(InvalidSpec, match="nested more than 20 deep"):
        LoggedSpec.from_dict({"config": {"a": deep}})


def test_a_logged_spec_survives_json_and_takes_the_seed_of_its_config() -> None:
    spec = LoggedSpec.from_dict(
        {"algorithm": " PPO (CleanRL) ", "config": {"seed": 3, "lr": 2.5e-4}}
    )
    assert (spec.algorithm, spec.seed, spec.total_timesteps) == ("PPO (CleanRL)", 3, None)
    assert LoggedSpec.from_dict(as_parsed(spec.as_dict())) == spec
