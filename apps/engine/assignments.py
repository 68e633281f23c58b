"""Values that are typed as text: `name:value` pairs."""

from typing import Any

import orjson

from apps.engine.errors import FieldError, InvalidSpec


def parse_assignments(texts: list[str], option: str) -> dict[str, Any]:
    """Read `name:value` pairs as RL-Baselines3-Zoo writes them; values are JSON, else plain text.

    Raises:
        InvalidSpec: A pair has no colon or no name.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, colon, value = text.partition(":")
        if not colon or not name:
            raise InvalidSpec([FieldError(option, f"{text!r} is not name:value")])
        try:
            values[name] = orjson.loads(value)
        except orjson.JSONDecodeError:
            values[name] = {"True": True, "False": False, "None": None}.get(value, value)
    return values
