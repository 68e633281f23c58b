"""What fields of several shapes share: how they are told, and words out of closed sets."""

from typing import Annotated, Any

from ninja import Field
from pydantic import BeforeValidator

from apps.experiments.statuses import JobStatus
from apps.text.names import LIMITS
from apps.text.whole_numbers import whole_number

JOB_STATUSES: list[Any] = [str(status) for status in JobStatus.values]


def _whole(value: Any) -> int:
    number = None if isinstance(value, str) else whole_number(value)
    if number is None:
        raise ValueError("it must be a whole number")
    return number


# JSON has one kind of number: 1e5 and 100000.0 are as whole as 100000.
WholeNumber = Annotated[int, BeforeValidator(_whole)]


def documented(
    kind: str, description: str, bounds: tuple[int, int] | None = None, **more: Any
) -> Any:
    """Describe a field whose value is judged by the spec alone, so that a rule has one home."""
    schema: dict[str, Any] = {"type": kind, **more}
    if bounds:
        schema |= {"minimum": bounds[0], "maximum": bounds[1]}
    return Field(None, description=description, json_schema_extra=schema)


def name_field(kind: str, description: str, default: Any = "", **more: Any) -> Any:
    """Describe a name, which is judged by the rule of all names alone (`apps.text.names`)."""
    schema: dict[str, Any] = {"type": "string", "maxLength": LIMITS[kind], **more}
    return Field(default, description=description, json_schema_extra=schema)
