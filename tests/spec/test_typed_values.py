"""What is typed as text: whole numbers, values, pairs; and which name was meant."""

import json
from contextlib import suppress
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.errors import InvalidSpec
from apps.spec.assignments import parse_assignments
from apps.spec.run import RunSpec
from apps.text import strict_json
from apps.text.expressions import read_typed
from apps.text.strict_json import GivenTwice
from apps.text.suggestions import did_you_mean
from apps.text.whole_numbers import MAX_DIGITS, whole_number


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("1e5", 100_000),
        ("1E5", 100_000),
        ("1e+5", 100_000),
        ("1.5e3", 1500),
        ("15e-1", None),
        ("100_000", 100_000),
        ("1.0", 1),
        (" 7 ", 7),
        ("-3", -3),
        ("1.5", None),
        ("1e-3", None),
        ("", None),
        ("many", None),
        ("nan", None),
        ("inf", None),
        ("1e99", None),
        (True, None),
        ("1e999999999999", None),
        ("1e-999999999999", None),
        ("9" * 5000, None),
        (1.0, 1),
        (1e5, 100_000),
        (1.5, None),
        (float("nan"), None),
        (float("inf"), None),
        (None, None),
        ([1], None),
        ("0x10", None),
        ("1,000", None),
        ("1__0", 10),
        (10**30, 10**30),
    ],
)
def test_a_whole_number_is_read_as_people_write_it(written: Any, number: int | None) -> None:
    assert whole_number(written) == number


@given(st.integers(-(10**18), 10**18), st.integers(0, 3))
def test_every_spelling_of_a_number_is_that_number(number: int, zeros: int) -> None:
    shift = 10**zeros
    for text in (f"{number}", f"{number:_}", f"{number}.0", f"{number * shift}e-{zeros}"):
        assert whole_number(text) == number
    assert whole_number(f"{number}e{zeros}") in (number * shift, None)
    assert whole_number(f"{number}.5") is None


@given(st.text(max_size=50) | st.text(alphabet="0123456789_.eE+- ", max_size=30))
@example("1e400")
def test_any_text_is_a_whole_number_as_it_says_or_none(text: str) -> None:
    number = whole_number(text)
    if number is not None:
        assert len(str(abs(number))) <= MAX_DIGITS
        with suppress(ValueError):  # Fraction knows fewer spellings.
            assert Fraction(text.strip()) == number


@pytest.mark.parametrize("steps", ["1e5", "100_000", "1.0e5", 1e5, " 100000 "])
def test_a_spec_takes_whole_numbers_of_any_spelling(steps: Any) -> None:
    spec = RunSpec.from_dict(
        {
            "total_timesteps": steps,
            "hyperparameters": {"n_steps": "1_024", "net_arch": [6.4e1]},
        }
    )
    assert spec.total_timesteps == 100_000
    assert spec.hyperparameters["n_steps"] == 1024
    assert spec.hyperparameters["net_arch"] == [64]
    with pytest.raises(InvalidSpec, match=r"'1.5' is not allowed; it must be a whole number"):
        RunSpec.from_dict({"total_timesteps": "1.5"})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e5", 100_000),
        ("100_000", 100_000),
        ("1.0", 1.0),
        ("1e-4", 1e-4),
        ("01", "01"),
        ("(1,'episode')", [1, "episode"]),
        ("'MlpPolicy'", "MlpPolicy"),
        ("64,64", [64, 64]),
        ("['a', None, True]", ["a", None, True]),
        ("{'a': 1}", {"a": 1}),
        (".5", 0.5),
        ("dict(a=1)", "dict(a=1)"),
        ("nn.ReLU", "nn.ReLU"),
        ("open('x')", "open('x')"),
        ("1e999999999", "1e999999999"),
        ("b'x'", "b'x'"),
        ("8x8", "8x8"),
        ("", ""),
        ("9" * 5000, "9" * 5000),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_a_typed_value_is_a_number_json_or_a_literal_else_text(text: str, value: Any) -> None:
    read = read_typed(text)
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', "{'a': 1, 'a': 2}", '[{"a": {"b":1,"b":1}}]']
)
def test_an_object_with_a_key_twice_is_refused(text: str) -> None:
    with pytest.raises(GivenTwice, match="given twice"):
        read_typed(text)
    with pytest.raises(InvalidSpec, match=r"--env-kwargs x: '[ab]' is given twice"):
        parse_assignments([f"x:{text}"], "--env-kwargs")


def test_a_name_twice_is_refused_and_all_that_is_wrong_is_said() -> None:
    with pytest.raises(InvalidSpec) as refused:
        parse_assignments(["a:1", "a:2", "b", ":3"], "-params")
    assert [error.message for error in refused.value.errors] == [
        "a is given twice; leave one of them out",
        "'b' is not name:value",
        "':3' is not name:value",
    ]


@given(st.text(max_size=80) | st.text(alphabet="dict()=[]{}-.,'\"1ae*:_ ", max_size=60))
def test_any_text_is_a_value_or_is_refused(text: str) -> None:
    with suppress(GivenTwice):
        read = read_typed(text)
        assert isinstance(read, str | int | float | list | dict | None)
    with suppress(InvalidSpec):
        parse_assignments([text, text], "-params")


_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=8,
)


@given(_json)
def test_json_that_means_something_is_read_as_it_is(value: Any) -> None:
    assert strict_json.loads(json.dumps(value)) == value


@pytest.mark.parametrize("text", ["", "{", "NaN", '"\\ud800"', "[" * 100_000, b"\xff"])
def test_what_is_no_json_is_a_value_error(text: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        strict_json.loads(text)


@pytest.mark.parametrize(
    ("given_name", "known", "meant"),
    [
        ("ppoo", ALGORITHMS, "; did you mean ppo?"),
        ("PPO", ALGORITHMS, "; did you mean ppo?"),
        ("lr", ALGORITHMS["ppo"].hyperparameters, "; did you mean learning_rate?"),
        ("gama", ALGORITHMS["ppo"].hyperparameters, "; did you mean gamma?"),
        ("lr", ["colour"], ""),
        ("zzzzz", ALGORITHMS, ""),
        (7, ALGORITHMS, ""),
        ("x" * 100_000, ALGORITHMS, ""),
        ("ppo", [], ""),
    ],
)
def test_what_comes_close_is_named(given_name: object, known: Any, meant: str) -> None:
    assert did_you_mean(given_name, known) == meant


@pytest.mark.parametrize(
    ("data", "meant"),
    [
        ({"algo": "ppo"}, "algorithm"),
        ({"total_timestep": 5}, "total_timesteps"),
        ({"preset": "hihg_score"}, "high_score"),
        ({"length": "quik"}, "quick"),
        ({"device": "cdua"}, "cuda"),
        ({"vectorization": "natve"}, "native"),
        ({"backend": "torhc"}, "torch"),
        ({"algorithm": "DQN"}, "dqn"),
        ({"hyperparameters": {"learning_rat": 1}}, "learning_rate"),
        ({"hyperparameters": {"activation_fn": "rellu"}}, "relu"),
        ({"hyperparameters": {"policy_kwargs": "dict(net_arch=[8])"}}, "net_arch"),
        ({"normalize": {"clip_ob": 1}}, "clip_obs"),
        ({"early_stop": {"belov": 1}}, "below"),
    ],
)
def test_a_spec_says_what_was_meant(data: dict[str, Any], meant: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"did you mean {meant}\?"):
        RunSpec.from_dict(data)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("n_envs", "n_envs"),
        ("frame_stack", "frame_stack"),
        ("env_wrapper", "wrappers"),
        ("n_timesteps", "total_timesteps"),
        ("normalize", "normalize"),
        ("seed", "seed"),
    ],
)
def test_a_field_among_the_hyperparameters_is_shown_its_place(name: str, field: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        RunSpec.from_dict({"hyperparameters": {name: 1}})
    (error,) = refused.value.errors
    assert error.field == f"hyperparameters.{name}"
    assert error.message.endswith(f"write it beside them, as {field}")
