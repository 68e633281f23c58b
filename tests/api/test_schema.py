"""The OpenAPI schema: kept as a golden file, and documented operation by operation."""

import re
from pathlib import Path

import orjson
from django.conf import settings

from tests.api.schema import GOLDEN, current_schema

DOCUMENT = Path(settings.BASE_DIR) / "docs" / "api.md"


def test_the_schema_is_the_one_that_was_agreed_on() -> None:
    """Write it anew after a wanted change: `python -m tests.api.write_schema`."""
    assert current_schema() == GOLDEN.read_bytes()


def test_every_operation_is_documented_and_every_documented_one_exists() -> None:
    paths = orjson.loads(GOLDEN.read_bytes())["paths"]
    existing = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, methods in paths.items()
        for method in methods
        if method != "head"
    }
    # The stream is a plain view beside the API.
    existing.add("GET /runs/{run_id}/stream")
    headings = re.findall(r"^### `(\w+ /\S*)`", DOCUMENT.read_text(), re.MULTILINE)
    assert len(headings) == len(set(headings))
    assert set(headings) == existing


def test_every_operation_declares_its_problems() -> None:
    paths = orjson.loads(GOLDEN.read_bytes())["paths"]
    for path, methods in paths.items():
        for method, operation in methods.items():
            refusals = {int(code) for code in operation["responses"] if int(code) >= 400}
            expected = {503}
            if path != "/api/v1/health":
                expected = {401, 404, 422, 503}
            if method in {"post", "patch", "delete"}:
                expected |= {400, 403, 409, 413, 429}
            assert refusals >= expected, (method, path)
            for code in refusals:
                content = operation["responses"][str(code)]["content"]
                assert [*content] == ["application/problem+json"]


def test_every_operation_id_is_a_name_of_its_own() -> None:
    paths = orjson.loads(GOLDEN.read_bytes())["paths"]
    ids = [
        operation["operationId"]
        for methods in paths.values()
        for method, operation in methods.items()
        if method != "head"
    ]
    assert len(ids) == len(set(ids))
