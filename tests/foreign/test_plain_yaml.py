"""YAML from anywhere: numbers as people write them, and refusals that show the line."""

from contextlib import suppress
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from apps.errors import InvalidSpec
from apps.foreign.batches import read_batch
from apps.foreign.plain_yaml import read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e5", 100_000),
        ("1E5", 100_000),
        ("1e-4", 1e-4),
        ("1.5e3", 1500.0),
        (".5e1", 5.0),
        ("100_000", 100_000),
        ("-2e3", -2000),
        ("1e99", 1e99),
        ("1e", "1e"),
        ("'1e5'", "1e5"),
        ("1.0", 1.0),
        ("e5", "e5"),
        ("1e5x", "1e5x"),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, value: Any) -> None:
    found = read(f"a: {text}\nb: [{text}]").value
    assert found == {"a": value, "b": [value]}
    assert type(found["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("runs:\n  - a: b: c\n", ["line 2, column 9: mapping", "    - a: b: c", "          ^"]),
        ("a: 2020-13-45", ["line 1, column 4: 'month", "  a: 2020-13-45", "     ^"]),
        ("a: *b", ["line 1, column 4: found undefined alias 'b'", "  a: *b", "     ^"]),
        ("x: 1\ny: \x00", ["line 2: special characters are not allowed"]),
        ("a: [1,\n", ["line 2, column 1: while parsing a flow node"]),
    ],
)
def test_what_is_no_yaml_is_shown_with_line_and_column(text: str, said: list[str]) -> None:
    with pytest.raises(InvalidSpec) as refused:
        read(text)
    lines = str(refused.value).removeprefix("not YAML that can be read: ").splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("run: []", "run: unknown; did you mean runs?"),
        ("defaults: {algo: ppo}\nruns: [{}]", "defaults.algo: unknown; allowed"),
        ("defaults: {algo: ppo}\nruns: [{}]", "did you mean algorithm? (line 1, column 12)\n"),
        ("runs: 5", "`defaults` (line 1, column 1)\n  runs: 5\n  ^"),
        ("runs:\n- {seed: 1,\n   seed: 2}", "given twice: seed (line 3)"),
    ],
)
def test_a_batch_file_that_is_none_is_shown_too(text: str, said: str) -> None:
    with pytest.raises(InvalidSpec) as refused:
        read_batch(text)
    assert said in str(refused.value)


def test_every_field_of_a_batch_file_is_found_again() -> None:
    text = """
defaults:
  hyperparameters: {gamma: 0.9}
runs:
  - algorithm: ppo
    grid:
      seed: [1, 2]
      hyperparameters.n_steps: [64]
    hyperparameters:
      batch_size: 32
"""
    line = read_batch(text)[0]
    found = {
        "algorithm": 5,
        "seed": 7,
        "hyperparameters.n_steps": 8,
        "hyperparameters.batch_size": 10,
        "hyperparameters.gamma": 3,
        "n_envs": 5,
        "": 5,
        "grid.seed": 7,
        "hyperparameters": 9,
    }
    places = {name: line.place_of(name) for name in found}
    assert {name: place and place.line for name, place in places.items()} == found


def test_a_list_of_runs_that_is_merged_in_has_its_place() -> None:
    (line,) = read_batch("<<: {runs: [{seed: 3}]}")
    assert (line.line, line.data) == (1, {"seed": 3})


def test_seeds_in_any_spelling_count_against_the_most_runs() -> None:
    with pytest.raises(InvalidSpec, match="100000 runs are too many"):
        read_batch("runs: [{seeds: 1e5}]")
    with pytest.raises(InvalidSpec, match="100000 runs are too many"):
        read_batch("runs: [{seeds: '1e5'}]")


def _is_number(text: str) -> bool:
    """Whether people read a number, `0E0` say, where PyYAML reads text and leaves quotes out."""
    try:
        float(text)
    except ValueError:
        return False
    return True


_texts = st.text(max_size=10).filter(lambda text: not _is_number(text))
_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner),
    max_leaves=10,
)


@given(_values)
def test_what_was_dumped_is_read_as_it_was(value: Any) -> None:
    assert read(yaml.safe_dump(value)).value == value


@given(_values)
def test_unescaped_text_is_read_with_every_value_in_its_place(value: Any) -> None:
    text = yaml.safe_dump(value, allow_unicode=True)
    document = read(text)
    lines = text.splitlines()
    for mark in document.marks.values():
        assert 1 <= mark.line <= len(lines) + 1
        assert mark.shown().count("\n") in (0, 2)


def refusal_of(text: str) -> str:
    try:
        read(text)
    except InvalidSpec as refused:
        return str(refused)
    return ""


@given(st.text(max_size=200) | st.text(alphabet="{}[]&*a0e:-, \n!<'\"", max_size=200))
def test_any_text_is_read_or_refused_in_few_words(text: str) -> None:
    said = refusal_of(text)
    assert len(said) < 800
    assert all(char.isprintable() or char == "\n" for char in said)
    with suppress(InvalidSpec):
        for line in read_batch(text):
            assert line.place_of("seed")
