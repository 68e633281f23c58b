"""Pages of rows by key: a cursor names a row that was seen, so a page costs the same at any depth.

Rows that come or go between two pages neither repeat nor hide others, as they would with offsets.
Rows without a value come last. They are a statement of their own, and so is what has one: each is
then a range of the index `(column, id)`, where one statement for both would be sorted.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import orjson
from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from apps.errors import FieldError, InvalidSpec
from apps.text.suggestions import did_you_mean

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Order:
    """How a list is sorted.

    Attributes:
        column: Name of the sorted column; the primary key breaks ties.
        is_descending: Greatest first. Rows without a value come last either way.
        name: What users call the column; empty: the same.
    """

    column: str
    is_descending: bool
    name: str = ""

    @classmethod
    def parse(cls, text: str, allowed: Mapping[str, str]) -> "Order":
        """Read `name` or `-name`.

        Args:
            text: What a user typed.
            allowed: Columns by the names that users have for them.

        Raises:
            InvalidSpec: Lists are not sorted by that.
        """
        name = text.removeprefix("-")
        if name not in allowed:
            names = ", ".join(allowed)
            message = (
                f"{text[:80]!r} is not allowed; allowed: {names}, each also with a leading -"
                f"{did_you_mean(name, allowed)}"
            )
            raise InvalidSpec([FieldError("order", message)])
        return cls(allowed[name], text.startswith("-"), name)

    def __str__(self) -> str:
        return f"{'-' if self.is_descending else ''}{self.name or self.column}"


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """Some rows of a list.

    Attributes:
        rows: They, in order.
        next_cursor: Where the next page begins, None when this is the last one.
        previous_cursor: Where the page before ends, None when this is the first one.
    """

    rows: list[Row]
    next_cursor: str | None
    previous_cursor: str | None


@dataclass(frozen=True, slots=True)
class _Place:
    """A row that was seen, and whether the page before it is wanted."""

    value: Any
    key: Any
    is_end: bool


def page(rows: QuerySet[Row], order: Order, limit: int, cursor: str = "") -> Page[Row]:
    """Return one page of rows, the first one without a cursor.

    Raises:
        InvalidSpec: The cursor is none of this list in this order.
    """
    place = _decode(rows.model, order, cursor) if cursor else None
    goes_back = place is not None and place.is_end
    found: list[Row] = []
    for part in _parts(rows, order, place, goes_back):
        if len(found) <= limit:
            found += part[: limit + 1 - len(found)]
    has_more = len(found) > limit
    if goes_back and not has_more:
        return page(rows, order, limit)  # The first page, and whole.
    found = found[:limit][::-1] if goes_back else found[:limit]
    if not found:
        return Page(found, None, None)
    return Page(
        found,
        cursor_after(order, found[-1]) if has_more or goes_back else None,
        _encode(order, found[0], is_end=True) if place else None,
    )


def _parts(
    rows: QuerySet[Row], order: Order, place: _Place | None, goes_back: bool
) -> list[QuerySet[Row]]:
    """Return what may be on a page, nearest first: rows with a value, and rows without one."""
    side, sign = ("lt", "-") if order.is_descending != goes_back else ("gt", "")
    valued = rows.order_by(sign + order.column, f"{sign}pk")
    if place is not None and place.value is not None:
        # One range of the index; an OR of ranges would be none.
        beyond = Q(**{f"{order.column}__{side}": place.value}) | Q(**{f"pk__{side}": place.key})
        valued = valued.filter(**{f"{order.column}__{side}e": place.value}).filter(beyond)
    if not rows.model._meta.get_field(order.column).null:
        return [valued]
    if place is None or place.value is None:
        valued = valued.filter(**{f"{order.column}__isnull": False})
    empty = rows.filter(**{f"{order.column}__isnull": True}).order_by(f"{sign}pk")
    if place is not None and place.value is None:
        empty = empty.filter(**{f"pk__{side}": place.key})
        return [empty, valued] if goes_back else [empty]
    return [valued] if goes_back else [valued, empty]


def cursor_after(order: Order, row: Model) -> str:
    """Return the cursor of the page that begins after a row."""
    return _encode(order, row, is_end=False)


def _encode(order: Order, row: Model, is_end: bool) -> str:
    value = getattr(row, order.column)
    if isinstance(value, datetime):
        value = value.isoformat()
    shown = None if value is None else str(value)  # JSON has no infinity.
    data = orjson.dumps([str(order), shown, str(row.pk), is_end])
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def _decode(model: type[Model], order: Order, cursor: str) -> _Place:
    try:
        data = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        written_for, value, key, is_end = data
        if written_for != str(order) or key is None:
            raise ValueError
        # A generated column leaves it to a field of its kind to read a value.
        field: Any = model._meta.get_field(order.column)
        value = getattr(field, "output_field", field).to_python(value)
        if isinstance(value, datetime):
            value = value.astimezone(UTC)
        return _Place(value, model._meta.pk.to_python(key), bool(is_end))
    except (ValueError, TypeError, OverflowError, binascii.Error, ValidationError):
        message = f"{cursor[:80]!r} is no cursor of this list in this order; take it from a page"
        raise InvalidSpec([FieldError("cursor", message)]) from None
