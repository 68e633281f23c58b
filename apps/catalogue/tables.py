"""Rows of the catalogue that are plain data: TOML files that people read and edit as tables.

Each is read once, where its rows are wanted, and checked against the dataclass of its rows: a word
that is misspelt is an error that names file and row, not a default.
"""

import tomllib
from collections.abc import Collection
from dataclasses import MISSING, fields
from functools import cache
from pathlib import Path
from types import UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Row = TypeVar("Row")


class BadTable(ValueError):
    """A data file of the catalogue says what cannot be."""


def read_table(file: Path) -> dict[str, Any]:
    """Read a data file.

    Raises:
        BadTable: It is not TOML.
    """
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise BadTable(f"{file.name}: {error}") from error


def make_row(kind: type[Row], file: Path, name: str, /, **given: Any) -> Row:
    """Make one row of a data file.

    Args:
        kind: Dataclass of the rows.
        file: The data file, for what is said of a bad row.
        name: The row's name in it, likewise.
        **given: The fields that it has.

    Raises:
        BadTable: A field is unknown, missing or of another type.
    """
    required, types = _fields_of(kind)  # type: ignore[arg-type]  # Classes can be hashed.
    if unknown := given.keys() - types.keys():
        raise BadTable(f"{file.name}: {name} has {_listed(unknown)}; allowed: {_listed(types)}")
    if missing := required - given.keys():
        raise BadTable(f"{file.name}: {name} has no {_listed(missing)}")
    for field, value in given.items():
        if not _fits(value, types[field]):
            raise BadTable(f"{file.name}: {name}: {field} = {value!r} is no {types[field]}")
    return kind(**given)


def check_names(file: Path, name: str, given: Collection[str], wanted: Collection[str]) -> None:
    """Refuse a table that has not exactly the rows, or fields, that it must have.

    Raises:
        BadTable: It has others, or fewer.
    """
    if set(given) != set(wanted):
        raise BadTable(f"{file.name}: {name} has {_listed(given)}; wanted: {_listed(wanted)}")


@cache
def _fields_of(kind: type[Any]) -> tuple[frozenset[str], dict[str, Any]]:
    """Return the fields that a row must have, and the types of all."""
    required = {
        field.name
        for field in fields(kind)
        if field.default is MISSING and field.default_factory is MISSING
    }
    return frozenset(required), get_type_hints(kind)


def _fits(value: Any, wanted: Any) -> bool:
    origin = get_origin(wanted)
    if origin in (Union, UnionType):
        return any(_fits(value, each) for each in get_args(wanted))
    if origin is Literal:
        return value in get_args(wanted)
    if isinstance(value, bool):  # Which Python takes for a whole number.
        return wanted is bool
    if wanted is float:
        return isinstance(value, int | float)
    return isinstance(value, origin or wanted)


def _listed(names: Collection[str]) -> str:
    return ", ".join(sorted(names))
