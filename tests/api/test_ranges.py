"""Byte ranges of one file, compared with plain slices."""

import os
import re
from pathlib import Path
from typing import Any

import pytest
from django.http import HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st

from apps.api import ranges
from apps.api.ranges import Unsatisfiable, open_inside, parse_range

CONTENT = bytes(range(256)) * 4


@pytest.fixture
def film(tmp_path: Path) -> Path:
    (tmp_path / "eval").mkdir()
    path = tmp_path / "eval" / "film.mp4"
    path.write_bytes(CONTENT)
    return path


async def ask(
    path: Path, method: str = "GET", query: str = "", **headers: str
) -> tuple[HttpResponseBase, bytes]:
    """Ask for a film of the folder's run, and read the whole answer."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = RequestFactory().generic(method, f"/film{query}", headers=named)
    response = await ranges.serve(request, path.parent.parent, f"eval/{path.name}", "run-step-7")
    if isinstance(response, StreamingHttpResponse):
        pieces: Any = response.streaming_content
        body = b"".join([piece async for piece in pieces])
    else:
        assert isinstance(response, HttpResponse)
        body = response.content
    response.close()
    return response, body


@pytest.mark.parametrize(
    ("header", "status", "expected", "content_range"),
    [
        ("bytes=0-", 206, CONTENT, "bytes 0-1023/1024"),
        ("bytes=0-0", 206, CONTENT[:1], "bytes 0-0/1024"),
        ("bytes=10-19", 206, CONTENT[10:20], "bytes 10-19/1024"),
        ("bytes=1000-99999", 206, CONTENT[1000:], "bytes 1000-1023/1024"),
        ("bytes=-24", 206, CONTENT[-24:], "bytes 1000-1023/1024"),
        ("bytes=-99999", 206, CONTENT, "bytes 0-1023/1024"),
        ("bytes=1023-", 206, CONTENT[-1:], "bytes 1023-1023/1024"),
        ("bytes=1024-", 416, None, "bytes */1024"),
        ("bytes=999999999999999999-", 416, None, "bytes */1024"),
        ("bytes=-0", 416, None, "bytes */1024"),
        ("bytes=20-10", 200, CONTENT, None),  # Malformed and foreign ranges are ignored.
        ("bytes=-", 200, CONTENT, None),
        ("bytes=a-b", 200, CONTENT, None),
        ("bytes=0-1,5-6", 200, CONTENT, None),
        ("lines=0-1", 200, CONTENT, None),
        ("bytes=" + "9" * 5000 + "-", 200, CONTENT, None),
        ("bytes=\u0661-\u0662", 200, CONTENT, None),
    ],
)
async def test_the_range_table(
    film: Path, header: str, status: int, expected: bytes | None, content_range: str | None
) -> None:
    response, body = await ask(film, Range=header)
    assert response.status_code == status
    assert response.headers.get("Content-Range") == content_range
    if expected is not None:
        assert body == expected
        assert response["Content-Type"] == "video/mp4"
    else:
        assert response["Content-Type"] == "application/problem+json"
    assert response["Accept-Ranges"] == "bytes"


@given(
    size=st.integers(0, 60), header=st.from_regex(r"bytes=[0-9]{0,3}-[0-9]{0,3}", fullmatch=True)
)
def test_a_range_is_the_slice_that_the_standard_says(size: int, header: str) -> None:
    content = os.urandom(size)
    match = re.fullmatch(r"bytes=(\d*)-(\d*)", header)
    assert match
    first, last = match.groups()
    if not first and not last:
        expected: bytes | None = content
    elif not first:
        expected = (content[-int(last) :] if int(last) else b"") or None
    elif last and int(last) < int(first):
        expected = content
    else:
        expected = content[int(first) : int(last) + 1 if last else None] or None
    try:
        wanted = parse_range(header, size)
    except Unsatisfiable:
        assert expected is None
    else:
        assert expected == (content if wanted is None else content[slice(*wanted)])


async def test_head_says_the_length_and_ignores_a_range(film: Path) -> None:
    response, body = await ask(film, "HEAD", Range="bytes=0-1")
    assert (response.status_code, body) == (200, b"")
    assert response["Content-Length"] == "1024"
    assert response["Accept-Ranges"] == "bytes"


async def test_an_unchanged_file_is_not_sent_again(film: Path) -> None:
    etag = (await ask(film))[0]["ETag"]
    assert not etag.startswith("W/")
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        response, body = await ask(film, If_None_Match=known)
        assert (response.status_code, body) == (304, b"")
        assert response["ETag"] == etag
    assert (await ask(film, If_None_Match='"other"'))[0].status_code == 200


async def test_a_range_of_another_version_is_answered_with_the_whole_file(film: Path) -> None:
    etag = (await ask(film))[0]["ETag"]
    same, _ = await ask(film, Range="bytes=0-1", If_Range=etag)
    assert same.status_code == 206
    for other in ('"other"', f"W/{etag}", "Wed, 21 Oct 2026 07:28:00 GMT"):
        response, body = await ask(film, Range="bytes=0-1", If_Range=other)
        assert (response.status_code, body) == (200, CONTENT)


async def test_a_changed_file_has_another_etag(film: Path) -> None:
    before = (await ask(film))[0]["ETag"]
    film.write_bytes(CONTENT[::-1])
    os.utime(film, ns=(1, 1))
    assert (await ask(film))[0]["ETag"] != before


async def test_a_long_range_is_cut_and_the_client_gets_the_rest_by_asking(tmp_path: Path) -> None:
    (tmp_path / "eval").mkdir()
    path = tmp_path / "eval" / "long.mp4"
    content = os.urandom(ranges.RANGE_CAP_BYTES * 2 + 12345)
    path.write_bytes(content)
    received = b""
    while len(received) < len(content):
        response, body = await ask(path, Range=f"bytes={len(received)}-")
        assert response.status_code == 206
        assert len(body) <= ranges.RANGE_CAP_BYTES
        received += body
    assert received == content


async def test_a_long_file_without_a_range_is_streamed_whole_in_small_pieces(
    tmp_path: Path,
) -> None:
    (tmp_path / "eval").mkdir()
    path = tmp_path / "eval" / "long.mp4"
    content = os.urandom(ranges.RANGE_CAP_BYTES + 12345)
    path.write_bytes(content)
    response, body = await ask(path)
    assert isinstance(response, StreamingHttpResponse)
    assert response.status_code == 200
    assert response["Content-Length"] == str(len(content))
    assert body == content


def n_open_files() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - no path is needed


async def test_no_answer_leaves_a_file_open(tmp_path: Path, film: Path) -> None:
    long = film.with_name("long.mp4")
    long.write_bytes(bytes(ranges.RANGE_CAP_BYTES + 1))
    before = n_open_files()
    for header in ("", "bytes=0-1", "bytes=9999-"):
        await ask(film, Range=header)
    await ask(film, "HEAD")
    request = RequestFactory().get("/film")
    thrown_away = await ranges.serve(request, tmp_path, "eval/long.mp4", "x")
    thrown_away.close()
    with pytest.raises(FileNotFoundError):
        open_inside(tmp_path, "eval")
    with pytest.raises(FileNotFoundError):
        open_inside(tmp_path, "eval/none.mp4")
    assert n_open_files() == before


async def test_an_empty_file_is_served_whole_and_has_no_ranges(film: Path) -> None:
    film.write_bytes(b"")
    assert (await ask(film))[0].status_code == 200
    assert (await ask(film, Range="bytes=0-"))[0].status_code == 416


async def test_what_a_browser_may_not_render_is_an_attachment(film: Path) -> None:
    page = film.with_name("page.html")
    page.write_text("<script>alert(1)</script>")
    response, _ = await ask(page)
    assert response["Content-Type"] == "application/octet-stream"
    assert response["Content-Disposition"].startswith("attachment")
    assert response["X-Content-Type-Options"] == "nosniff"


async def test_download_names_the_file(film: Path) -> None:
    response, _ = await ask(film, query="?download")
    assert response["Content-Disposition"] == 'attachment; filename="run-step-7.mp4"'
    assert (await ask(film))[0]["Content-Disposition"].startswith("inline")


async def test_only_an_address_that_names_the_content_is_kept_for_ever(film: Path) -> None:
    assert "immutable" in (await ask(film, query="?v=abc"))[0]["Cache-Control"]
    plain = (await ask(film))[0]["Cache-Control"]
    assert plain == "private, no-cache"


@pytest.mark.parametrize(
    "relative",
    [
        "",
        ".",
        "..",
        "../secret",
        "eval/../../secret",
        "/etc/passwd",
        "eval",
        "eval/none.mp4",
        "eval/film.mp4/x",
        "eval/film.mp4\0",
        "link",
        "linked/secret",
        "pipe",
        "x" * 300,
    ],
)
def test_nothing_but_a_plain_file_inside_is_opened(
    relative: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (outside / "secret").write_text("secret")
    root = tmp_path_factory.mktemp("run")
    (root / "eval").mkdir()
    (root / "eval" / "film.mp4").write_bytes(CONTENT)
    (root / "link").symlink_to(outside / "secret")
    (root / "linked").symlink_to(outside)
    os.mkfifo(root / "pipe")
    with pytest.raises(FileNotFoundError):
        open_inside(root, relative)


def test_the_media_folder_itself_may_be_a_link(tmp_path: Path, film: Path) -> None:
    (tmp_path / "elsewhere").symlink_to(film.parent.parent)
    file = open_inside(tmp_path / "elsewhere", "eval/film.mp4")
    assert file.read(0, 10) == CONTENT[:10]
    file.close()
