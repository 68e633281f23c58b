"""The lines of a log: what goes in comes out, and nothing else is let through."""

import math
import time
import warnings
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from apps.rundir import events
from apps.rundir.events import EVENT_TYPES, MalformedLine, decode, encode, return_of, value_of
from tests.strategies import json_values

LAW = settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
numbers = (
    st.floats()
    | st.floats(width=32).map(np.float32)
    | st.floats().map(np.float64)
    | st.floats(width=16).map(np.float16)
    | st.integers(-(2**53), 2**53)
    | st.integers(-(2**31), 2**31 - 1).map(np.int32)
    | st.integers(0, 255).map(np.uint8)
)


def is_same(one: float, other: float) -> bool:
    """Whether two numbers are equal, NaN to NaN too."""
    return one == other or (math.isnan(one) and math.isnan(other))


def lines(kind: str, **fields: Any) -> bytes:
    """Encode a line by hand."""
    return orjson.dumps({"type": kind, "t": 1.5, "step": 3, **fields})


# The law of encode and decode.


@given(st.integers(0, 10**12), st.dictionaries(text, numbers, max_size=6))
@LAW
def test_metrics_survive_with_nan_and_infinity(step: int, values: dict[str, Any]) -> None:
    line = encode(events.metrics(step, values))
    event = decode(line)
    assert event["step"] == step
    assert set(event["values"]) == set(values)
    for key, value in values.items():
        found = value_of(event, key)
        assert type(found) is float
        assert is_same(found, float(value))


@given(st.dictionaries(text, numbers, max_size=6))
@LAW
def test_a_line_is_one_line_of_strict_json(values: dict[str, Any]) -> None:
    line = encode(events.metrics(1, values))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert decode(line) == decode(line[:-1]) == decode(line[:-1] + b"\r\n")


@given(numbers, st.integers(0, 10**9), st.integers(0, 255))
@LAW
def test_an_episode_survives_with_nan_and_infinity(value: Any, length: int, env: int) -> None:
    event = decode(encode(events.episode(7, value, length, env)))
    assert is_same(return_of(event), float(value))
    assert (event["step"], event["length"], event["env"]) == (7, length, env)


@given(st.sampled_from(["stopped", "failed"]), text)
@LAW
def test_a_status_survives_whatever_its_reason(status: str, reason: str) -> None:
    event = decode(encode(events.status(1, status, reason)))
    assert event["status"] == status
    assert event.get("reason", "") == reason


@given(st.binary(max_size=80))
@LAW
def test_arbitrary_bytes_are_an_event_or_malformed(data: bytes) -> None:
    try:
        event = decode(data)
    except MalformedLine:
        return
    assert event["type"] in EVENT_TYPES


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from([*EVENT_TYPES]) | json_values,
            "t": st.just(1.5) | json_values,
            "step": st.just(3) | json_values,
            "values": st.dictionaries(st.sampled_from("ab"), json_values) | json_values,
            "special": st.dictionaries(st.sampled_from("ab"), json_values) | json_values,
            "return": json_values,
            "length": json_values,
            "from_step": json_values,
        },
    )
)
@LAW
def test_whatever_is_decoded_can_be_read_without_an_error(data: dict[str, Any]) -> None:
    try:
        event = decode(orjson.dumps(data))
    except (MalformedLine, orjson.JSONEncodeError):
        return
    if event["type"] == "metrics":
        for key in ("a", "b"):
            value = value_of(event, key)
            assert value is None or type(value) is float
    elif event["type"] == "episode":
        assert type(return_of(event)) is float
        assert isinstance(event["length"], int | float)
    elif event["type"] == "attempt":
        assert isinstance(event["from_step"], int)


# What each kind of line looks like.


def test_a_metrics_line_names_what_json_cannot_hold() -> None:
    event = orjson.loads(
        encode(
            events.metrics(
                5, {"a": 1.5, "b": math.nan, "c": math.inf, "d": -math.inf, "e": np.float32(2.0)}
            )
        )
    )
    assert event["values"] == {"a": 1.5, "b": None, "c": None, "d": None, "e": 2.0}
    assert event["special"] == {"b": "nan", "c": "inf", "d": "-inf"}


def test_an_integer_beyond_64_bits_is_kept_as_the_nearest_float() -> None:
    event = decode(encode(events.metrics(1, {"fps": 2**63, "steps": 2**63 - 1})))
    assert event["values"] == {"fps": 2.0**63, "steps": 2**63 - 1}


def test_an_integer_beyond_any_float_is_infinite() -> None:
    event = decode(encode(events.metrics(1, {"a": 10**400, "b": -(10**400)})))
    assert event["special"] == {"a": "inf", "b": "-inf"}


def test_a_metrics_line_of_finite_numbers_has_no_special() -> None:
    assert "special" not in events.metrics(1, {"a": 1.0})


def test_an_episode_line_names_a_return_that_json_cannot_hold() -> None:
    event = orjson.loads(encode(events.episode(5, -math.inf, 9, 0)))
    assert event["return"] is None
    assert event["special"] == {"return": "-inf"}


def test_an_episode_line_has_the_contracts_fields() -> None:
    event = orjson.loads(encode(events.episode(5, np.float32(2.5), np.int64(9), 1)))  # type: ignore[arg-type]
    del event["t"]
    assert event == {"type": "episode", "step": 5, "return": 2.5, "length": 9, "env": 1}


@pytest.mark.parametrize(
    ("event", "fields"),
    [
        (
            events.checkpoint(8, 1000, is_best=True, should_evaluate=False),
            {
                "type": "checkpoint",
                "size_bytes": 1000,
                "best": True,
                "evaluate": False,
                "sha256": "",
            },
        ),
        (
            events.evaluation(8, {"return_mean": 1.5}),
            {"type": "evaluation", "return_mean": 1.5},
        ),
        (
            events.film(8, "eval/eval_1.mp4", width=640),
            {"type": "film", "name": "eval/eval_1.mp4", "width": 640},
        ),
        (events.status(8, "running"), {"type": "status", "status": "running"}),
        (
            events.status(8, "failed", "out of memory"),
            {"type": "status", "status": "failed", "reason": "out of memory"},
        ),
        (
            events.attempt(8, 2, "exact"),
            {"type": "attempt", "attempt": 2, "from_step": 8, "fidelity": "exact", "notes": {}},
        ),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) else None,
)
def test_a_line_has_the_contracts_fields(event: events.Event, fields: dict[str, Any]) -> None:
    assert decode(encode(event)) == {"t": event["t"], "step": 8, **fields}


def test_a_line_carries_the_time_at_which_it_was_made() -> None:
    before = time.time()
    assert before <= events.metrics(1, {})["t"] <= time.time()


@pytest.mark.parametrize(
    "reason", ["Grüße, 世界 🤖", 'quote " and \\', "two\nlines", "\u2028 \x85 \x0c", "\x00"]
)
def test_text_of_any_script_stays_on_one_line(reason: str) -> None:
    line = encode(events.status(1, "failed", reason))
    assert line.count(b"\n") == 1
    assert decode(line)["reason"] == reason


# What is no event.


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\n",
        b"null",
        b"[]",
        b"3",
        b'"metrics"',
        b"{}",
        b"{",
        b'{"type":"metrics","t":1,"step":1,"values":{"a":NaN}}',
        b'{"type":"metrics","t":1,"step":1,"values":{}}{}',
        b"\xff\xfe",
        b'{"type":"status","t":1,"step":1,"status":"\xff"}',
        lines("weather"),
        lines("metrics"),
        lines("metrics", values=None),
        lines("metrics", values=[1]),
        lines("episode", length=3),
        lines("episode", **{"return": "high", "length": 3}),
        lines("episode", **{"return": 1.0}),
        lines("attempt"),
        lines("attempt", from_step="0"),
        lines("attempt", from_step=None),
        lines("status"),
        lines("status", status=3),
        orjson.dumps({"type": ["metrics"], "t": 1, "step": 1, "values": {}}),
        orjson.dumps({"type": {}, "t": 1, "step": 1, "values": {}}),
        orjson.dumps({"type": None, "t": 1, "step": 1, "values": {}}),
        orjson.dumps({"type": "metrics", "step": 1, "values": {}}),
        orjson.dumps({"type": "metrics", "t": None, "step": 1, "values": {}}),
        orjson.dumps({"type": "metrics", "t": "now", "step": 1, "values": {}}),
        orjson.dumps({"type": "metrics", "t": 1, "values": {}}),
        orjson.dumps({"type": "metrics", "t": 1, "step": None, "values": {}}),
        orjson.dumps({"type": "metrics", "t": 1, "step": 1.0, "values": {}}),
        orjson.dumps({"type": "metrics", "t": 1, "step": True, "values": {}}),
    ],
)
def test_what_is_no_event_is_malformed(line: bytes) -> None:
    with pytest.raises(MalformedLine):
        decode(line)


def test_a_field_that_is_not_known_yet_is_kept() -> None:
    assert decode(lines("metrics", values={}, colour="red"))["colour"] == "red"


@pytest.mark.parametrize(
    ("values", "special", "expected"),
    [
        ({"a": 1}, {}, 1.0),
        ({"a": 1.5}, {}, 1.5),
        ({"a": None}, {"a": "nan"}, math.nan),
        ({"a": None}, {"a": "inf"}, math.inf),
        ({"a": None}, {"a": "-inf"}, -math.inf),
        ({"a": None}, {}, math.nan),
        ({"a": None}, {"a": "enormous"}, math.nan),
        ({"a": None}, {"a": ["inf"]}, math.nan),
        ({"a": None}, [], math.nan),
        ({"a": None}, None, math.nan),
        ({}, {}, None),
        ({"b": 1}, {}, None),
        ({"a": "high"}, {}, None),
        ({"a": [1]}, {}, None),
    ],
)
def test_a_value_is_read_back_or_absent(values: Any, special: Any, expected: float | None) -> None:
    value = value_of(decode(lines("metrics", values=values, special=special)), "a")
    if expected is None:
        assert value is None
    else:
        assert value is not None
        assert is_same(value, expected)


def test_every_type_of_the_contract_is_known() -> None:
    assert {
        "metrics",
        "episode",
        "checkpoint",
        "evaluation",
        "film",
        "finding",
        "status",
        "attempt",
    } == EVENT_TYPES


# Many at once.

fields = st.dictionaries(
    st.sampled_from(["type", "t", "step", "values", "return", "length", "status", "from_step"]),
    st.sampled_from([*sorted(EVENT_TYPES), 1, 2**53 + 1, -3, 1.5, True, None, {}, {"a": 1}, []]),
)
good = st.sampled_from(
    [
        events.metrics(1, {"a": 1.0}),
        events.episode(2, 1.0, 3, 0),
        events.status(3, "running"),
        events.film(4, "x.mp4"),
    ]
)
headed = st.builds(lambda one, more: {**one, **more}, good, fields)


@given(st.lists(good | headed | fields | json_values, max_size=5))
@example([{**events.metrics(1, {"a": 1.0}), "step": 2**53 + 1}])
@LAW
def test_many_values_are_events_exactly_when_each_is_one(values: list[Any]) -> None:
    def is_event(value: Any) -> bool:
        try:
            events.checked(value)
        except MalformedLine:
            return False
        return True

    found = events.heads(values)
    assert (found is not None) == all(map(is_event, values))
    if found is not None:
        types, steps, times = found
        assert types == [value["type"] for value in values]
        assert steps.tolist() == [value["step"] for value in values]
        assert times.tolist() == [float(value["t"]) for value in values]


def test_a_step_that_floating_point_cannot_hold_is_refused() -> None:
    with pytest.raises(MalformedLine, match=r"beyond 2\^53"):
        decode(orjson.dumps({"type": "film", "t": 1, "step": 2**53 + 1}))


@pytest.mark.parametrize("kind", [float, np.float64])
def test_sums_that_overflow_and_infinities_that_cancel_out_lose_no_value(kind: type) -> None:
    logged = {"a": kind(1e308), "b": kind(1e308), "c": kind(math.inf), "d": kind(-math.inf)}
    with np.errstate(all="raise"), warnings.catch_warnings():
        warnings.simplefilter("error")
        event = decode(encode(events.metrics(3, logged)))
    assert {key: value_of(event, key) for key in logged} == logged
    assert event["special"] == {"c": "inf", "d": "-inf"}


def test_an_event_keeps_its_values_when_the_caller_s_change() -> None:
    logged = {"a": 1.0}
    event = events.metrics(3, logged)
    logged["a"] = 2.0
    assert event["values"] == {"a": 1.0}
