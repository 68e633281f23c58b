"""Data files of the catalogue: what is wrong in one is told with its file and row."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from apps.catalogue.tables import BadTable, check_names, make_row, read_table

FILE = Path("fruit.toml")


@dataclass(frozen=True)
class Fruit:
    """A row."""

    name: str
    colour: Literal["red", "green"]
    weight: float | None = None
    count: int = 0
    prices: dict[str, Any] = field(default_factory=dict)


def test_a_row_has_the_fields_that_were_given_and_the_defaults_of_others() -> None:
    row = make_row(Fruit, FILE, "apple", name="apple", colour="red", weight=2)
    assert row == Fruit("apple", "red", 2.0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"colour": "red", "color": "red"}, "apple has color; allowed: colour, count, name"),
        ({}, "apple has no colour"),
        ({"colour": "blue"}, "apple: colour = 'blue'"),
        ({"colour": "red", "count": "3"}, "apple: count = '3'"),
        ({"colour": "red", "count": 1.5}, "apple: count = 1.5"),
        ({"colour": "red", "weight": True}, "apple: weight = True"),
        ({"colour": "red", "prices": [1]}, "apple: prices ="),
    ],
)
def test_a_bad_field_is_told_with_its_file_and_row(given: dict[str, Any], words: str) -> None:
    with pytest.raises(BadTable, match=f"^fruit.toml: {words}"):
        make_row(Fruit, FILE, "apple", name="apple", **given)


def test_a_table_that_lacks_a_row_or_has_another_is_refused() -> None:
    check_names(FILE, "ppo", ["fast", "stable"], ("stable", "fast"))
    with pytest.raises(BadTable, match=r"fruit.toml: ppo has fasst; wanted: fast, stable"):
        check_names(FILE, "ppo", ["fasst"], ("fast", "stable"))


def test_what_is_no_toml_is_told_with_its_file(tmp_path: Path) -> None:
    file = tmp_path / "fruit.toml"
    file.write_text("name = 'apple'\nname = 'pear'\n")
    with pytest.raises(BadTable, match=r"^fruit\.toml: .*line 2"):
        read_table(file)
