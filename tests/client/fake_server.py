"""A server that can be away, hang or fail; it keeps what it takes."""

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from apps.client import rlgym_client
from apps.client.rlgym_client import Run


class FakeServer:
    """Speaks as much of the API as the client needs, and misbehaves as it is told.

    Attributes:
        status: What every request is answered with; 0: nothing at all, the client waits.
        rows: Rows by writer and number, as the log would hold them.
        begun: Runs that were begun, by id.
        ends: What was said at the end of each run.
        requests: Paths that were asked for.
        n_hanging: Requests that are not answered yet.
    """

    def __init__(self) -> None:
        self.status = 200
        self.n_hanging = 0
        self.stop: str | None = None
        self.rows: dict[tuple[str, int], dict[str, Any]] = {}
        self.begun: dict[str, dict[str, Any]] = {}
        self.ends: dict[str, dict[str, Any]] = {}
        self.films: list[bytes] = []
        self.requests: list[str] = []
        self.headers: dict[str, str] = {}
        self.is_over = threading.Event()
        fake = self

        class Answering(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fake.requests.append(self.path)
                if fake.status == 0:
                    fake.n_hanging += 1
                    fake.is_over.wait(30)
                    fake.n_hanging -= 1
                    return
                status, answer = fake.status, {"detail": "as it was told"}
                if status == 200:
                    status, answer = fake.take(self.path, body)
                self.send_response(status)
                for name, value in fake.headers.items():
                    self.send_header(name, value)
                content = json.dumps(answer).encode()
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._httpd = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
        self.url = f"http://127.0.0.1:{self._httpd.server_port}"
        self._thread = threading.Thread(target=self._httpd.serve_forever, args=(0.01,))
        self._thread.start()

    def take(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        """Do what a path asks for."""
        run_id, _, verb = path.removeprefix("/api/v1/runs/").partition("/")
        if path.endswith("/runs/logged"):
            begun = json.loads(body)
            self.begun[begun["id"]] = begun
        elif verb == "finish":
            self.ends[run_id] = json.loads(body)
        elif verb.startswith("videos"):
            self.films.append(body)
        else:
            batch = json.loads(body)
            for number, row in enumerate(batch["rows"], batch["seq"]):
                self.rows.setdefault((batch["writer"], number), row)
        return 200, {"stop": self.stop}

    @property
    def steps(self) -> list[int]:
        """Steps of the rows, in the order of their numbers."""
        return [self.rows[key]["step"] for key in sorted(self.rows)]

    def close(self) -> None:
        """Stop serving, and let go of requests that hang."""
        self.is_over.set()
        self._httpd.shutdown()
        self._httpd.server_close()
        self._thread.join()


def wait_until(is_so: Any, what: str, timeout_s: float = 10.0) -> None:
    """Wait until something is so, or fail."""
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


def begin(server: FakeServer, **options: Any) -> Run:
    return rlgym_client.init("Tests", url=server.url, token="rlgym_t", **options)
