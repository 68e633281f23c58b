"""Where a web server may listen, and that a data directory has one stack."""

import http.server
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from apps.jobs.worker.addresses import AddressRefused, refuse_unusable, url_of
from apps.jobs.worker.stack import LOCK_FILE, Stack, StackFailed, only_one
from tests.live_stack import ROOT, free_port


class OtherServer(http.server.BaseHTTPRequestHandler):
    """A server of somebody else's, which answers everything as a healthy rlgym would."""

    def do_GET(self) -> None:
        body = json.dumps({"status": "ok", "version": "0.1.0", "instance": "other"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that another server of this process holds."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), OtherServer) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def up(home: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    return subprocess.run(
        [sys.executable, "manage.py", "up", *arguments],
        cwd=ROOT,
        env={**environment, "RLGYM_HOME": str(home)},
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_free_port_of_this_machine_may_be_listened_on() -> None:
    for host in ("127.0.0.1", "localhost", "0.0.0.0"):
        refuse_unusable(host, free_port())


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_a_port_that_another_program_has_is_refused_by_its_name(host: str, taken: int) -> None:
    words = rf"port {taken} of {host} is taken by process {os.getpid()} \(.+\); end it, or choose"
    with pytest.raises(AddressRefused, match=words):
        refuse_unusable(host, taken)


def test_a_port_that_is_free_but_rested_is_allowed() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        server, _ = listener.accept()
        server.close()  # Its end waits for a minute, and holds no port of a server's.
        client.close()
    refuse_unusable("127.0.0.1", port)


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("no-such-host.invalid", "cannot be found"),
        ("", "cannot be found"),
        ("a" * 300, "cannot be found"),
        ("127.0.0.1:8000", "cannot be found"),
        ("203.0.113.7", "is no address of this machine"),
        ("2001:db8::7", "is no address of this machine"),
    ],
)
def test_a_host_that_is_not_this_machine_is_refused(host: str, words: str) -> None:
    with pytest.raises(AddressRefused, match=words) as refused:
        refuse_unusable(host, free_port())
    assert "use 127.0.0.1" in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("port", [0, -1, 65_536, 10**9])
def test_a_number_that_is_no_port_is_refused(port: int) -> None:
    with pytest.raises(AddressRefused, match="from 1 to 65535"):
        refuse_unusable("127.0.0.1", port)


@given(st.text(max_size=80))
def test_any_host_is_taken_or_refused_in_words(host: str) -> None:
    name = host + ".invalid"  # Nobody is asked far away.
    with pytest.raises(AddressRefused):
        refuse_unusable(name, 1)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("[::1]", "http://[::1]:80"),
        ("my-machine", "http://my-machine:80"),
    ],
)
def test_an_address_is_one_that_a_browser_finds(host: str, url: str) -> None:
    assert url_of(host, 80) == url


def test_a_stack_knows_its_own_server_from_another(
    taken: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    stack = Stack("127.0.0.1", taken, 1)
    assert not stack._answers()
    stack._instance = "other"
    assert stack._answers()


def test_a_data_directory_has_one_stack_and_the_second_is_told_where_it_is(
    tmp_path: Path, settings: Settings
) -> None:
    settings.HOME = tmp_path
    with Stack("127.0.0.1", free_port(), 1).alone():
        second = Stack("127.0.0.1", free_port(), 1)
        with pytest.raises(StackFailed, match=rf"as process {os.getpid()} at http://127"):
            second.alone().__enter__()
    with only_one(tmp_path, "http://127.0.0.1:1"):
        assert (tmp_path / LOCK_FILE).read_text().endswith("http://127.0.0.1:1\n")


@pytest.mark.slow
def test_up_on_a_taken_port_says_so_in_one_line_and_starts_nothing(
    tmp_path: Path, taken: int
) -> None:
    done = up(tmp_path, "--port", str(taken))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert f"port {taken} of 127.0.0.1 is taken" in done.stderr
    assert not (tmp_path / "workers").exists()


@pytest.mark.slow
def test_up_on_a_data_directory_that_is_up_says_where(tmp_path: Path) -> None:
    with only_one(tmp_path, "http://127.0.0.1:4711"):
        done = up(tmp_path, "--port", str(free_port()))
    assert done.returncode == 1
    assert f"as process {os.getpid()} at http://127.0.0.1:4711" in done.stderr
    assert done.stderr.count("\n") == 1
