"""Pages of rows by key: a cursor names the last row seen, so a page costs the same at any depth.

Rows that come or go between two pages neither repeat nor hide others, as they would with offsets.
"""

import base64
import binascii
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import orjson
from django.core.exceptions import ValidationError
from django.db.models import F, Model, Q, QuerySet

from apps.api.problems import refusal

Row = TypeVar("Row", bound=Model)


@dataclass(frozen=True, slots=True)
class Order:
    """How a list is sorted.

    Attributes:
        field: Name of the sorted column; the primary key breaks ties.
        is_descending: Greatest first. Rows without a value come last either way.
    """

    field: str
    is_descending: bool

    @classmethod
    def parse(cls, text: str, allowed: Collection[str]) -> "Order":
        """Read `name` or `-name`, refusing a column that lists are not sorted by."""
        field = text.removeprefix("-")
        if field not in allowed:
            columns = ", ".join(allowed)
            message = (
                f"{text[:80]!r} is not allowed; allowed: {columns}, each also with a leading -"
            )
            raise refusal("order", message)
        return cls(field, text.startswith("-"))

    def __str__(self) -> str:
        return f"-{self.field}" if self.is_descending else self.field


def page(
    rows: QuerySet[Row], order: Order, limit: int, cursor: str
) -> tuple[list[Row], str | None]:
    """Return one page of rows and the cursor of the next page, None when this is the last."""
    column = F(order.field)
    if order.is_descending:
        rows = rows.order_by(column.desc(nulls_last=True), "-pk")
    else:
        rows = rows.order_by(column.asc(nulls_last=True), "pk")
    if cursor:
        rows = rows.filter(_beyond(order, *_decode(rows.model, order, cursor)))
    found = list(rows[: limit + 1])
    if len(found) <= limit:
        return found, None
    return found[:limit], _encode(order, found[limit - 1])


def _beyond(order: Order, value: Any, key: Any) -> Q:
    side = "lt" if order.is_descending else "gt"
    if value is None:
        return Q(**{f"{order.field}__isnull": True, f"pk__{side}": key})
    later = Q(**{f"{order.field}__{side}": value})
    tied = Q(**{order.field: value, f"pk__{side}": key})
    return later | tied | Q(**{f"{order.field}__isnull": True})


def _encode(order: Order, row: Model) -> str:
    value = getattr(row, order.field)
    if isinstance(value, datetime):
        value = value.isoformat()
    return base64.urlsafe_b64encode(orjson.dumps([str(order), value, row.pk])).decode().rstrip("=")


def _decode(model: type[Model], order: Order, cursor: str) -> tuple[Any, Any]:
    try:
        data = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        written_for, value, key = data
        if written_for != str(order):
            raise ValueError
        key = model._meta.pk.to_python(key)
        return (model._meta.get_field(order.field).to_python(value), key)  # type: ignore[union-attr]
    except (ValueError, TypeError, binascii.Error, ValidationError):
        message = f"{cursor[:80]!r} is no cursor of this list in this order; take it from a page"
        raise refusal("cursor", message) from None
