"""What is sent is bounded before it is kept: by who sends it, where to, how long and how fast."""

from contextlib import closing, suppress

import orjson
import pytest

from apps.api.limits import MAX_BODY_BYTES, MAX_STRANGER_BYTES, MAX_UPLOAD_BYTES
from apps.foreign.videos import MAX_FILM_BYTES
from tests.server.web_server import Answer, WebServer, head, read_answer

TWO_GB = 2 << 30
FILM = "/api/v1/runs/k3v9mpt2xa/videos?step=1"
PAGES = ["/", "/login/", "/admin/login/", "/runs/new/", "/nowhere", "/a%20b"]
OTHERS = [
    "/api/v1/runs",
    "/api/v1/runs/import",
    FILM,
    "/api/v1/health",
    "/static/dashboard/rlgym.css",
]
PATHS = [*PAGES, *OTHERS]
ENOUGH_BYTES = 300 << 20
# What a server that keeps nothing may grow by while it reads: buffers, caches of the first pages.
GROWTH_BYTES = 48 << 20


def credentials(web: WebServer) -> dict[str, list[str]]:
    return {
        "nobody": [],
        "a token": [f"Authorization: Bearer {web.token}"],
        "a session": [f"Cookie: {web.cookie}"],
        "a false token": ["Authorization: Bearer rlgym_nobody"],
        "a false session": ["Cookie: sessionid=0123456789abcdef0123456789abcdef"],
    }


@pytest.mark.parametrize(
    "header",
    [
        b"Cookie: sessionid=\xff\xfe",
        b"Cookie: ;;;==",
        b"Cookie: sessionid=" + b"a" * 8000,
        b"Authorization: Bearer \xff",
        b"Authorization: Bearer",
        b"Authorization: Basic YTpi",
        b"Authorization: \xe2\x80\xae",
        b"Cookie: csrftoken=x",
    ],
)
@pytest.mark.parametrize("how", [b"Content-Length: 500000", b"Transfer-Encoding: chunked"])
def test_no_odd_credential_buys_a_longer_body(web: WebServer, header: bytes, how: bytes) -> None:
    request = head("/api/v1/runs").removesuffix(b"\r\n") + header + b"\r\n" + how + b"\r\n\r\n"
    chunk = b"20000\r\n" + bytes(0x20000) + b"\r\n"
    assert_too_long(web.ask(request, chunk))


WHO = ["nobody", "a token", "a session", "a false token", "a false session"]
STRANGERS = [who for who in WHO if who not in {"a token", "a session"}]


def assert_too_long(answer: Answer) -> None:
    assert answer.status == 413, answer.raw[:300]
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["connection"] == "close"
    assert answer.headers["content-length"] == str(len(answer.body))
    problem = orjson.loads(answer.body)
    assert problem["status"] == 413
    assert "bytes" in problem["detail"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("who", WHO)
def test_a_declared_length_is_refused_before_a_byte_of_it_is_sent(
    web: WebServer, who: str, path: str
) -> None:
    for method in ("POST", "GET", "PUT"):
        request = head(path, f"Content-Length: {TWO_GB}", *credentials(web)[who], method=method)
        assert_too_long(web.ask(request))
    assert web.kept_bytes() == 0


@pytest.mark.parametrize("who", WHO)
def test_who_expects_a_word_before_sending_is_told_no(web: WebServer, who: str) -> None:
    extra = ["Expect: 100-continue", *credentials(web)[who]]
    answer = web.ask(head("/api/v1/runs", f"Content-Length: {TWO_GB}", *extra))
    assert_too_long(answer)
    assert b"100 Continue" not in answer.raw


def send_endlessly(web: WebServer, request: bytes, at_most: int) -> tuple[Answer, int]:
    """Send chunks of a body without end; return the answer and how many bytes were taken."""
    chunk = b"10000\r\n" + bytes(65536) + b"\r\n"
    taken = 0
    with closing(web.connect()) as connection:
        connection.sendall(request)
        with suppress(ConnectionError, TimeoutError):
            while taken < at_most:
                connection.sendall(chunk)
                taken += 65536
        return read_answer(connection), taken


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("who", WHO)
def test_a_body_without_end_is_cut_at_the_limit(web: WebServer, who: str, path: str) -> None:
    limit = MAX_UPLOAD_BYTES if path in {"/api/v1/runs/import", "/runs/new/"} else MAX_BODY_BYTES
    limit = MAX_FILM_BYTES if path == FILM else limit
    limit = MAX_STRANGER_BYTES if who in STRANGERS else limit
    before = web.memory_bytes()
    request = head(path, "Transfer-Encoding: chunked", *credentials(web)[who])
    _, taken = send_endlessly(web, request, limit + ENOUGH_BYTES)
    assert taken < limit + ENOUGH_BYTES, "it would take more and more"
    assert web.memory_bytes() - before < GROWTH_BYTES
    assert web.kept_bytes() == 0
    assert (web.health_s() or 60) < 5


@pytest.mark.parametrize("who", WHO)
def test_whoever_stops_at_the_limit_reads_why(web: WebServer, who: str) -> None:
    n_bytes = (MAX_STRANGER_BYTES if who in STRANGERS else MAX_BODY_BYTES) + 1
    request = head("/api/v1/runs", "Transfer-Encoding: chunked", *credentials(web)[who])
    chunk = f"{n_bytes:x}\r\n".encode() + bytes(n_bytes) + b"\r\n"
    assert_too_long(web.ask(request, chunk))


@pytest.mark.parametrize("who", STRANGERS)
@pytest.mark.parametrize("path", PATHS)
def test_who_is_not_known_may_send_a_few_kilobytes(web: WebServer, who: str, path: str) -> None:
    fits, is_longer = MAX_STRANGER_BYTES, MAX_STRANGER_BYTES + 1
    known = [*credentials(web)[who], "Connection: close"]
    answer = web.ask(head(path, f"Content-Length: {fits}", *known), bytes(fits))
    assert 0 < answer.status < 500
    assert answer.status != 413
    answer = web.ask(head(path, f"Content-Length: {is_longer}", *known), bytes(is_longer))
    assert_too_long(answer)


@pytest.mark.parametrize("who", ["a token", "a session"])
@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize("should_expect", [True, False])
def test_who_is_known_may_send_more(
    web: WebServer, who: str, has_length: bool, should_expect: bool
) -> None:
    body = b'{"name": "' + b"x" * 200_000 + b'"}'
    known = [*credentials(web)[who], "Content-Type: application/json", "Connection: close"]
    known += ["Expect: 100-continue"] if should_expect else []
    how = f"Content-Length: {len(body)}" if has_length else "Transfer-Encoding: chunked"
    sent = body if has_length else f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
    answer = web.ask(head("/api/v1/experiments", how, *known), sent)
    if should_expect:
        assert answer.status == 100
        answer = Answer(answer.body)
    # Read whole and judged: a session lacks its CSRF token, the name is too long.
    assert answer.status == (422 if who == "a token" else 403)


def test_a_model_file_may_be_longer_where_it_belongs(web: WebServer) -> None:
    n_bytes = 20 << 20
    boundary = "0123456789"
    part = f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="m.zip"\r\n\r\n'
    body = part.encode() + bytes(n_bytes) + f"\r\n--{boundary}--\r\n".encode()
    request = head(
        "/api/v1/runs/import",
        f"Authorization: Bearer {web.token}",
        f"Content-Type: multipart/form-data; boundary={boundary}",
        f"Content-Length: {len(body)}",
        "Connection: close",
    )
    assert web.ask(request, body).status == 422  # It was read: it is no model file.


def test_two_requests_on_one_connection_are_both_answered(web: WebServer) -> None:
    body = bytes(MAX_STRANGER_BYTES)
    first = head("/nowhere", f"Content-Length: {len(body)}") + body
    answer = web.ask(first + head("/api/v1/health", "Connection: close", method="GET"))
    assert answer.status in {302, 403, 404}
    assert b'"status":"ok"' in answer.raw
