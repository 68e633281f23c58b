"""Values that are typed as text: `name:value` pairs."""

from typing import Any

from apps.errors import FieldError, InvalidSpec
from apps.text.expressions import read_typed
from apps.text.strict_json import GivenTwice
from apps.words import shown


def parse_assignments(texts: list[str], option: str) -> dict[str, Any]:
    """Read `name:value` pairs as RL-Baselines3-Zoo writes them.

    A value is a number (`1e5`, `100_000`), JSON, a Python literal, else plain text.

    Raises:
        InvalidSpec: A pair has no colon or no name, or a name is given twice.
    """
    values: dict[str, Any] = {}
    errors = []
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name:
            errors.append(FieldError(option, f"{shown(text)} is not name:value"))
        elif name in values:
            message = f"{name} is given twice; leave one of them out"
            errors.append(FieldError(option, message))
        else:
            try:
                values[name] = read_typed(value)
            except GivenTwice as error:
                errors.append(FieldError(f"{option} {name}", str(error)))
    if errors:
        raise InvalidSpec(errors)
    return values
