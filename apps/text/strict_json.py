"""JSON as it is meant: no key twice in an object, of which a parser would take the last."""

import json
from typing import Any

import orjson


class GivenTwice(ValueError):
    """An object has a key twice."""

    def __init__(self, key: str) -> None:
        super().__init__(f"{key[:80]!r} is given twice; leave one of them out")


def loads(content: bytes | str) -> Any:
    """Read JSON.

    Raises:
        ValueError: It is no JSON, or nested deeper than anything meant is; `GivenTwice` where an
            object has a key twice.
    """
    value = orjson.loads(content)  # The stricter one: no NaN, no lone surrogates.
    try:
        json.loads(content, object_pairs_hook=_once)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    return value


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise GivenTwice(key)
        seen.add(key)
