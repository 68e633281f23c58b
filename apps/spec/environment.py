"""How the fields of a spec are read that say how its environment is made."""

from typing import Any

import orjson

from apps.catalogue.environments.ids import ENVIRONMENT_ID, wrong_with_wrapper
from apps.errors import FieldError, InvalidSpec
from apps.words import shown

MAX_KWARGS_BYTES = 16_384
MAX_WRAPPERS = 16
MAX_ID_LENGTH = 200


def read_environment_id(name: Any) -> str:
    """Return an id of Gymnasium's.

    Raises:
        ValueError: It is none.
    """
    if (
        not isinstance(name, str)
        or len(name) > MAX_ID_LENGTH
        or not ENVIRONMENT_ID.fullmatch(name)
    ):
        raise ValueError(
            f"{shown(name)} is not an environment id; write CartPole-v1 or module:Env-v0"
        )
    return name


def read_kwargs(kwargs: Any) -> dict[str, Any]:
    """Return keyword arguments of an environment.

    Raises:
        ValueError: They are no object, too large, or more than JSON can hold.
    """
    try:
        text = orjson.dumps(kwargs)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    if not isinstance(kwargs, dict) or len(text) > MAX_KWARGS_BYTES:
        raise ValueError(f"must be an object of at most {MAX_KWARGS_BYTES} bytes of JSON")
    if orjson.loads(text) != kwargs:  # JSON has no NaN, Inf, tuple or date: they would change.
        raise ValueError(f"{shown(kwargs)} holds what JSON cannot")
    if "render_mode" in kwargs:
        raise ValueError("render_mode is set when a film is made; leave it out")
    return kwargs


def read_wrappers(wrappers: Any) -> list[Any]:
    """Return wrappers, innermost first.

    Raises:
        ValueError: They are no list, too many, or more than JSON can hold.
        InvalidSpec: Says of each one that is none what is wrong with it.
    """
    if not isinstance(wrappers, list) or len(wrappers) > MAX_WRAPPERS:
        raise ValueError(f"must be a list of at most {MAX_WRAPPERS}")
    if not _is_json(wrappers):
        raise ValueError(f"must be at most {MAX_KWARGS_BYTES} bytes of what JSON can hold")
    wrong = [wrong_with_wrapper(wrapper) for wrapper in wrappers]
    if any(wrong):
        raise InvalidSpec(
            [FieldError(f"wrappers.{index}", words) for index, words in enumerate(wrong) if words]
        )
    return wrappers


def _is_json(value: Any) -> bool:
    """Return whether a value is the same after JSON, which has no NaN, tuple or date."""
    try:
        text = orjson.dumps(value)
    except orjson.JSONEncodeError:
        return False
    return len(text) <= MAX_KWARGS_BYTES and bool(orjson.loads(text) == value)
