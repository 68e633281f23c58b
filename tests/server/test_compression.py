"""Text is compressed for whoever takes it, over the wire too; nothing else is."""

import gzip
from typing import Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from apps.experiments.models import Run
from apps.rundir import events
from apps.server.compression import TextCompression, takes_gzip
from tests.builders import make_run
from tests.server.web_server import WebServer, head

TEXT = b"the same again and again, " * 100
CSS = "/static/dashboard/rlgym.css"


def answered(response: Any, accepted: str = "gzip", method: str = "GET") -> Any:
    request = RequestFactory().generic(method, "/", headers={"Accept-Encoding": accepted})
    return TextCompression(lambda _: response)(request)


@pytest.mark.parametrize(
    "kind",
    [
        "text/html",
        "text/html; charset=utf-8",
        "text/csv",
        "text/css",
        "text/plain",
        "text/javascript",
        "application/json",
        "application/problem+json",
        "application/x-ndjson",
        "image/svg+xml",
        "APPLICATION/JSON",
    ],
)
def test_text_is_compressed(kind: str) -> None:
    response = answered(HttpResponse(TEXT, content_type=kind, headers={"ETag": '"1"'}))
    assert response["Content-Encoding"] == "gzip"
    assert response["Content-Length"] == str(len(response.content))
    assert response["ETag"] == 'W/"1"'
    assert "Accept-Encoding" in response["Vary"]
    assert len(response.content) < len(TEXT) / 4
    assert gzip.decompress(response.content) == TEXT


@pytest.mark.parametrize(
    "kind",
    [
        "video/mp4",
        "image/webp",
        "image/png",
        "application/octet-stream",
        "application/zip",
        "text/event-stream",
        "text/event-stream; charset=utf-8",
        "",
    ],
)
def test_what_is_no_text_is_left_as_it_is(kind: str) -> None:
    for response in (
        answered(HttpResponse(TEXT, content_type=kind)),
        answered(StreamingHttpResponse([TEXT], content_type=kind)),
    ):
        assert not response.has_header("Content-Encoding")
        assert b"".join(response) == TEXT


def test_a_part_of_a_file_and_a_tiny_text_are_left_as_they_are() -> None:
    part = HttpResponse(TEXT, status=206, headers={"Content-Range": "bytes 0-99/100"})
    part["Content-Type"] = "application/json"
    assert answered(part).content == TEXT
    tiny = HttpResponse(b"short", content_type="text/plain")
    assert not answered(tiny).has_header("Content-Encoding")
    encoded = HttpResponse(TEXT, content_type="text/plain", headers={"Content-Encoding": "br"})
    assert answered(encoded).content == TEXT


def test_a_stream_of_lines_is_compressed() -> None:
    response = answered(StreamingHttpResponse([TEXT, TEXT], content_type="application/x-ndjson"))
    assert gzip.decompress(b"".join(response)) == TEXT * 2
    assert not response.has_header("Content-Length")


@pytest.mark.parametrize(
    ("accepted", "expected"),
    [
        ("gzip", True),
        ("gzip, deflate, br, zstd", True),
        ("deflate, gzip;q=0.5", True),
        ("", False),
        ("*", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("br", False),
        ("gzip; q=0.0, *", False),
        ("*;q=0", False),
        ("gzippy", False),
        ("gzip;q=x", False),
    ],
)
def test_the_header_is_read_as_the_standard_says(accepted: str, expected: bool) -> None:
    assert takes_gzip(accepted) is expected
    response = answered(HttpResponse(TEXT, content_type="text/html"), accepted)
    assert response.has_header("Content-Encoding") is expected
    assert response["Vary"] == "Accept-Encoding"


@given(st.text())
def test_any_header_can_be_read(accepted: str) -> None:
    assert takes_gzip(accepted) in {True, False}
    assert takes_gzip(f"{accepted}, gzip;q=1")
    assert not takes_gzip(f"{accepted}, gzip;q=0")


def test_a_page_is_padded_by_a_random_length() -> None:
    """What is not would tell, by its length, which guess of a secret in it was right."""
    lengths = {
        len(answered(HttpResponse(TEXT, content_type="text/html")).content) for _ in range(40)
    }
    assert len(lengths) > 5


@pytest.fixture
def asking(admin_client: Client) -> Any:
    def ask(path: str, **headers: str) -> Any:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return admin_client.get(path, headers={"Accept-Encoding": "gzip", **named})

    return ask


@pytest.fixture
def run(home: object, db: None) -> Run:
    made = make_run()
    for step in range(200):
        made.directory.append(events.metrics(step, {"train/loss": step / 2}))
    return made


def test_pages_and_json_arrive_whole(asking: Any, run: Run) -> None:
    for path in (
        "/evaluations/",
        "/runs/",
        f"/runs/{run.pk}/",
        f"/api/v1/runs/{run.pk}/metrics",
        f"/api/v1/runs/{run.pk}/log",
        "/admin/",
        "/nothing/",
    ):
        response = asking(path)
        assert response["Content-Encoding"] == "gzip", path
        assert gzip.decompress(response.content)


def test_a_static_file_is_compressed_and_known_again(asking: Any, client: Client) -> None:
    plain = b"".join(client.get(CSS).streaming_content)
    for _ in range(2):
        response = asking(CSS)
        assert response["Content-Encoding"] == "gzip"
        assert response["Content-Type"].startswith("text/css")
        assert gzip.decompress(response.content) == plain
    again = asking(CSS, If_Modified_Since=response["Last-Modified"])
    assert again.status_code == 304
    part = asking(CSS, Range="bytes=0-9")
    assert part.status_code == 206
    assert b"".join(part.streaming_content) == plain[:10]


@pytest.mark.parametrize("path", [CSS, "/static/dashboard/parts/chart.js", "/login/"])
def test_it_arrives_over_the_wire(web: WebServer, path: str) -> None:
    extra = ["Accept-Encoding: gzip, deflate", "Connection: close"]
    answer = web.ask(head(path, *extra, method="GET"))
    assert answer.status == 200
    assert answer.headers["content-encoding"] == "gzip"
    assert int(answer.headers["content-length"]) == len(answer.body)
    assert b"}" in gzip.decompress(answer.body) or b"</html>" in gzip.decompress(answer.body)
    only_head = web.ask(head(path, *extra, method="HEAD"))
    assert only_head.status == 200
    assert only_head.body == b""
