"""How soon a line of a run's log is on its viewers' screens: 1, 100 and 1,000 of them.

Starts the real web server and worker, opens that many websockets (or streams, or dashboards) from
one process, and appends to the log of a run from another. The delay is from the moment a line is
made, just before it is appended, to the moment the message that holds it is with a client: what
the server waits for in order to send at most four messages a second is in it. Every pair of a line
and a viewer counts. Each viewer checks that it gets every line once, in order.

Beside it: the server's memory a socket, its share of a processor, and what a client costs that
asks for a long log and never reads.

`--soak 60` goes on appending for an hour, while viewers of all kinds come and go, some without a
goodbye, and fails if the server's memory, files or threads grow.
"""

import argparse
import http.cookiejar
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from apps.rundir import events
from apps.rundir.log import LogWriter
from benchmarks.report import print_verdict
from tests.live_stack import LiveStack

TARGET_S = 0.4
SILENT_TARGET_MB = 10.0
LINES_A_SECOND = 20
METRICS_A_LINE = 15
LONG_LOG_LINES = 40_000
SILENT_CLIENTS = 10
SILENT_S = 20.0
SETTLE_S = 2.0
# What a soak may add between its second quarter and its last.
GROWTH = {"rss_mb": 8.0, "files": 16.0, "threads": 8.0}
SOAK_SAMPLE_S = 5.0


class Server:
    """The stack, a user who is logged in, and the web server's process."""

    def __init__(self, stack: LiveStack) -> None:
        self.stack = stack
        self.token = stack.token()
        jar = http.cookiejar.CookieJar()
        urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar)).open(stack.login_link)
        self.cookie = "; ".join(f"{one.name}={one.value}" for one in jar)
        (self.web,) = stack.find("rlgym.server")

    def new_run(self) -> tuple[str, Path]:
        """Begin a run that a script logs; return its id and its log."""
        with self.stack.request("/api/v1/runs/logged", self.token, {"name": "live"}) as response:
            run_id = str(json.load(response)["id"])
        return run_id, self.stack.home / "media" / "runs" / run_id / "metrics.jsonl"

    def say_alive(self, run_id: str) -> None:
        """Tell that the script of a run lives."""
        self.stack.request(f"/api/v1/runs/{run_id}/metrics", self.token, {"rows": []}).close()

    def rename(self, run_id: str) -> None:
        """Name a run after this moment."""
        request = urllib.request.Request(
            f"{self.stack.address}/api/v1/runs/{run_id}",
            json.dumps({"name": f"t={time.time()}"}).encode(),
            {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
            method="PATCH",
        )
        urllib.request.urlopen(request, timeout=20).close()

    def state(self) -> dict[str, float]:
        """Return memory, open files and threads of the web server."""
        with self.web.oneshot():
            return {
                "rss_mb": self.web.memory_info().rss / 1e6,
                "files": self.web.num_fds(),
                "threads": self.web.num_threads(),
            }

    def cpu_s(self) -> float:
        """Return the processor time that the web server has used."""
        used = self.web.cpu_times()
        return used.user + used.system


class Viewers:
    """Viewers in a process of their own, as benchmarks/viewers.py has them."""

    def __init__(
        self, server: Server, kind: str, count: int, run_id: str, churn_s: float = 0.0
    ) -> None:
        config = {
            "address": server.stack.address,
            "path": "dashboard" if kind == "dashboard" else f"runs/{run_id}",
            "kind": kind,
            "count": count,
            "cookie": server.cookie,
            "token": server.token,
            "churn_s": churn_s,
        }
        command = [sys.executable, "-m", "benchmarks.viewers", json.dumps(config)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> "Viewers":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def hear(self) -> dict[str, Any]:
        """Return what they say next."""
        assert self._process.stdout is not None
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told

    def go_on(self) -> None:
        """Let them go on to what is next: to measure, then to tell."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()


@dataclass(slots=True)
class Measured:
    """What one crowd of viewers saw, and what it cost the server."""

    kind: str
    count: int
    p50_s: float
    p95_s: float
    max_s: float
    arrivals: int
    faults: int
    connect_s: float
    kb_a_viewer: float
    threads: float
    server_share: float
    server_us_a_message: float


@contextmanager
def appending(server: Server, run_id: str, log: Path) -> Iterator[None]:
    """Append lines at an even pace, and rename the run once a second, within the block."""
    is_over = threading.Event()

    def append() -> None:
        step, began_at = 0, time.monotonic()
        with LogWriter(log) as writer:
            while not is_over.wait(max(0.0, began_at + step / LINES_A_SECOND - time.monotonic())):
                writer.write([line(step)])
                step += 1

    def rename() -> None:
        while not is_over.wait(1.0):
            server.rename(run_id)
            server.say_alive(run_id)

    threads = [threading.Thread(target=append), threading.Thread(target=rename)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def line(step: int) -> events.Event:
    """Make a line as training writes it."""
    return events.metrics(
        step, {f"train/metric_{n}": step / (n + 1) for n in range(METRICS_A_LINE)}
    )


def measure(server: Server, kind: str, count: int, seconds: float) -> Measured:
    """Let a crowd watch one run for a while."""
    run_id, log = server.new_run()
    before = server.state()
    with appending(server, run_id, log), Viewers(server, kind, count, run_id) as viewers:
        connect_s = viewers.hear()["ready_s"]
        time.sleep(SETTLE_S)
        viewers.go_on()
        started_at, cpu_s = time.monotonic(), server.cpu_s()
        time.sleep(seconds)
        cpu_s, elapsed_s = server.cpu_s() - cpu_s, time.monotonic() - started_at
        after = server.state()
        viewers.go_on()
        told = viewers.hear()
    return Measured(
        kind,
        count,
        told["p50_s"],
        told["p95_s"],
        told["max_s"],
        told["arrivals"],
        told["faults"],
        connect_s,
        (after["rss_mb"] - before["rss_mb"]) * 1e3 / count,
        after["threads"] - before["threads"],
        cpu_s / elapsed_s,
        cpu_s * 1e6 / told["messages"],
    )


def cost_of_silence(server: Server) -> float:
    """Return the megabytes that the server keeps for each client that asks and never reads."""
    run_id, log = server.new_run()
    with LogWriter(log) as writer:
        writer.write(map(line, range(LONG_LOG_LINES)))
    before = server.state()["rss_mb"]
    most = before
    with Viewers(server, "silent", SILENT_CLIENTS, run_id) as viewers:
        viewers.hear()
        deadline = time.monotonic() + SILENT_S
        while time.monotonic() < deadline:
            most = max(most, server.state()["rss_mb"])
            time.sleep(0.2)
    return (most - before) / SILENT_CLIENTS


def print_measured(found: Measured) -> None:
    """Print one row."""
    print(
        f"{found.kind:<10} {found.count:5}   p50 {found.p50_s:6.3f} s   p95 {found.p95_s:6.3f} s"
        f"   max {found.max_s:6.3f} s   n={found.arrivals:<8} lost or repeated {found.faults}"
        f"   connected in {found.connect_s:5.1f} s   {found.kb_a_viewer:6.0f} kB a viewer"
        f"   {found.threads:+.0f} threads   server {found.server_share:4.0%} of a core"
        f", {found.server_us_a_message:.0f} us a message",
        flush=True,
    )


def soak(server: Server, minutes: float, count: int) -> bool:
    """Append with viewers coming and going; return whether nothing grew."""
    run_id, log = server.new_run()
    samples: list[dict[str, float]] = []
    shares = {"websocket": 0.5, "stream": 0.3, "dashboard": 0.2}
    with appending(server, run_id, log), ExitStack() as exits:
        crowds = [
            exits.enter_context(Viewers(server, kind, max(1, int(count * share)), run_id, 20.0))
            for kind, share in shares.items()
        ]
        for crowd in crowds:
            crowd.hear()
        ends_at = time.monotonic() + minutes * 60
        while time.monotonic() < ends_at:
            samples.append(server.state())
            print(
                "   ".join(f"{name} {value:.0f}" for name, value in samples[-1].items()),
                flush=True,
            )
            time.sleep(SOAK_SAMPLE_S)
        told = []
        for crowd in crowds:
            crowd.go_on()
            crowd.go_on()
            told.append(crowd.hear())
    for kind, one in zip(shares, told, strict=True):
        print(f"{kind:<10} {one['visits']} visits, lines lost or repeated: {one['faults']}")
    growth = growth_of(samples)
    for name, limit in GROWTH.items():
        print(
            f"{name}: {growth[name]:+.1f} from the second quarter to the last, at most {limit:+}"
        )
    is_ok = all(growth[name] <= limit for name, limit in GROWTH.items())
    print(
        json.dumps(
            {
                "name": "live_soak",
                "value": growth["rss_mb"],
                "target": GROWTH["rss_mb"],
                "ok": is_ok,
                "samples": samples,
            }
        )
    )
    return is_ok and not any(one["faults"] for one in told)


def growth_of(samples: list[dict[str, float]]) -> dict[str, float]:
    """Return how much more the last quarter of samples has than the second, by medians."""
    quarter = max(1, len(samples) // 4)
    earlier, later = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    return {
        name: statistics.median(one[name] for one in later)
        - statistics.median(one[name] for one in earlier)
        for name in GROWTH
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--viewers", default="1,100,1000", help="how many, one crowd after another"
    )
    parser.add_argument("--kinds", default="websocket", help="websocket, stream, dashboard")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long each crowd watches")
    parser.add_argument(
        "--soak", type=float, metavar="MINUTES", help="look for growth in its place"
    )
    options = parser.parse_args()
    counts = [int(count) for count in options.viewers.split(",")]
    os.environ["RLGYM_WARM_TRAINER"] = "0"
    with (
        tempfile.TemporaryDirectory() as folder,
        LiveStack(Path(folder) / "home", "--workers", "1") as stack,
    ):
        server = Server(stack)
        if options.soak:
            return 0 if soak(server, options.soak, counts[0]) else 1
        silent_mb = cost_of_silence(server)  # First: what was freed again would hide it.
        found = []
        for kind in options.kinds.split(","):
            for count in counts:
                found.append(measure(server, kind, count, options.seconds))
                print_measured(found[-1])
    print(f"a client that never reads: {silent_mb:.1f} MB, target {SILENT_TARGET_MB:.0f} MB")
    samples = {"crowds": [asdict(one) for one in found], "silent_mb": silent_mb}
    # A dashboard is told once a second; a run's viewers are what the target is about.
    of_runs = [one.p95_s for one in found if one.kind != "dashboard"]
    slowest_s = max(of_runs or [found[-1].p95_s])
    print_verdict("live", "value", slowest_s, TARGET_S, samples)
    return 0


if __name__ == "__main__":
    sys.exit(main())
