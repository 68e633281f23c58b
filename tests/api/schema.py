"""The OpenAPI schema as it is, and as it was agreed on."""

from pathlib import Path

import orjson

from apps.api.router import api

GOLDEN = Path(__file__).with_name("openapi.json")


def current_schema() -> bytes:
    """Return the schema as the golden file holds it."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS
    return orjson.dumps(api.get_openapi_schema(), option=option | orjson.OPT_APPEND_NEWLINE)
