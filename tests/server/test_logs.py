"""What the web server writes down: no secret, and one line for whoever asks for another host."""

import pytest

from tests.server.web_server import WebServer, head


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "POST", "PUT", "BREW"])
@pytest.mark.parametrize("spelled", ["/login/", "/%6Cogin/", "/login%2F", "//login/"])
def test_a_login_link_is_used_up_and_logged_by_no_other_method(
    web: WebServer, method: str, spelled: str
) -> None:
    secret = web.link.removeprefix("/login/").rstrip("/")
    request = head(f"{spelled}{secret}/?next=/", "Connection: close", method=method)
    assert web.ask(request).status >= 400
    assert_not_logged(web, secret)
    # A mistyped link is a secret still, of which little is missing.
    mistyped = f"{spelled}{secret[:-1]}"
    web.ask(head(mistyped, "Connection: close", method=method))
    web.ask(head(mistyped, "Connection: close", method="GET"))
    assert_not_logged(web, secret[:-1])


def assert_not_logged(web: WebServer, secret: str) -> None:
    assert secret not in web.log.read_text()
    assert secret not in web.access_log.read_text()


def test_a_link_that_logs_in_is_not_logged(web: WebServer) -> None:
    # The last test of this module: the link works once, and the others did not use it up.
    secret = web.link.removeprefix("/login/").rstrip("/")
    answer = web.ask(head(web.link, "Connection: close", method="GET"))
    assert answer.status == 302
    assert "sessionid=" in answer.headers["set-cookie"]
    assert_not_logged(web, secret)
    assert "/login/[secret]/" in web.access_log.read_text()


def test_a_foreign_host_is_one_line(web: WebServer) -> None:
    before = len(web.log.read_text().splitlines())
    request = b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    answer = web.ask(request)
    assert answer.status == 400
    assert len(web.log.read_text().splitlines()) - before == 1
    assert "Traceback" not in web.log.read_text()
