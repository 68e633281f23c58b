"""A web server in a data directory of its own, spoken to byte by byte."""

import json
import os
import re
import socket
import sys
import time
import urllib.error
import urllib.request
from contextlib import closing, suppress
from copy import copy
from pathlib import Path

import psutil

from tests import commands
from tests.live_stack import ROOT, free_port, wait_until

SET_UP = """
from django.contrib.auth.models import User
from django.test import Client
from apps.accounts.models import ApiToken, LoginLink
user = User.objects.create_user("ada", password="a long enough one")
client = Client()
client.force_login(user)
import json
print(json.dumps({
    "token": ApiToken.objects.issue(user, "tests"),
    "cookie": "sessionid=" + client.cookies["sessionid"].value,
    "link": "/login/" + LoginLink.objects.issue(user) + "/",
}))
"""


class WebServer:
    """A running web server and what its user knows."""

    def __init__(self, home: Path) -> None:
        self.port = free_port()
        self.log = home / "web.log"
        self.access_log = home / "access.log"
        self.temporary = home / "temporary"
        self.temporary.mkdir()
        self._environment = {
            **{name: value for name, value in os.environ.items() if "DJANGO" not in name},
            "RLGYM_HOME": str(home),
            "TMPDIR": str(self.temporary),
        }
        commands.manage(home, "migrate", "-v", "0")
        said = commands.manage(home, "shell", "-v", "0", "-c", SET_UP)
        assert said.returncode == 0, said.stderr
        known = json.loads(said.stdout.splitlines()[-1])
        self.token: str = known["token"]
        self.cookie: str = known["cookie"]
        self.link: str = known["link"]

    def another(self, module: str) -> "WebServer":
        """Start a second one over the same data, by a module of its own."""
        other = copy(self)
        other.port = free_port()
        other.log, other.access_log = (
            path.with_stem(f"another_{path.stem}") for path in (self.log, self.access_log)
        )
        other.start(module)
        return other

    def start(self, module: str = "rlgym.server") -> None:
        """Start it and wait until it answers."""
        command = [sys.executable, "-m", module, "-b", "127.0.0.1", "-p", str(self.port)]
        command += ["--access-log", str(self.access_log), "rlgym.asgi:application"]
        with self.log.open("wb") as log:
            self.process = psutil.Popen(
                command, cwd=ROOT, env=self._environment, stdout=log, stderr=log
            )
        wait_until(lambda: self.health_s() is not None, 60, "the web server")

    def stop(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(timeout=30)

    def health_s(self) -> float | None:
        """Return how long the health check took, None when there was no answer."""
        started = time.monotonic()
        address = f"http://127.0.0.1:{self.port}/api/v1/health"
        with suppress(urllib.error.URLError), urllib.request.urlopen(address, timeout=30):
            return time.monotonic() - started
        return None

    def connect(self) -> socket.socket:
        """Open a connection."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def ask(self, request: bytes, body: bytes = b"") -> "Answer":
        """Send a request as it is and read to the end of the connection."""
        with closing(self.connect()) as connection:
            with suppress(ConnectionError):
                connection.sendall(request)
                connection.sendall(body)
            return read_answer(connection)

    def kept_bytes(self) -> int:
        """Return what the server keeps in files of its temporary folder, unlinked ones too."""
        kept = 0
        for fd in Path(f"/proc/{self.process.pid}/fd").iterdir():
            with suppress(OSError):
                if str(fd.readlink()).startswith(str(self.temporary)):
                    kept += fd.stat().st_size
        return kept

    def memory_bytes(self) -> int:
        """Return its resident memory."""
        return int(self.process.memory_info().rss)


class Answer:
    """A response as it came over the wire."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        head, _, self.body = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        found = re.match(r"HTTP/1\.1 (\d{3})", first)
        self.status = int(found.group(1)) if found else 0
        pairs = (line.partition(":") for line in lines)
        self.headers = {name.lower(): value.strip() for name, _, value in pairs}


def read_answer(connection: socket.socket) -> Answer:
    """Read until the server ends the connection."""
    raw = b""
    with suppress(ConnectionError):
        while data := connection.recv(65536):
            raw += data
    return Answer(raw)


def head(path: str, *headers: str, method: str = "POST") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()
