"""How long a list of ten thousand runs takes: a page by best return, deep pages, filters, HTML.

Ours is asked over HTTP (daphne, a token, JSON) and in this process; MLflow's `search_runs` on its
SQLite store in a process of its own, without HTTP, alternately. Both hold as many runs with as
many metrics. MLflow's interpreter is `--peer-python`; without MLflow there it is left out.
"""

import argparse
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import django
from django.core.management import call_command

from benchmarks.report import interleaved, print_samples, print_verdict
from tests.live_stack import ROOT, free_port, wait_until

TARGET_P95_MS = 50.0
PEER_EVERY = 10
LIST = "/api/v1/runs?order=-return_best"
ENVIRONMENTS = ("CartPole-v1", "LunarLander-v3", "Acrobot-v1", "ALE/Breakout-v5")
Side = Callable[[], float]


def fill(runs: int) -> None:
    """Write the rows of runs with their specs and summaries, a tenth of these missing."""
    from django.utils import timezone

    from apps.experiments.listing.sorting import SUMMARY_COLUMNS
    from apps.experiments.models import Experiment, Run
    from apps.experiments.statuses import RunStatus
    from apps.spec.run import RunSpec

    chance = random.Random(0)
    spec = RunSpec.from_dict({"total_timesteps": 50_000}).as_dict()
    experiments = [Experiment.objects.create(name=f"Question {n}") for n in range(20)]
    statuses = [RunStatus.COMPLETED] * 17 + [RunStatus.FAILED, RunStatus.STOPPED, RunStatus.LOST]
    now = timezone.now()
    made = []
    for index in range(runs):
        environment, algorithm = chance.choice(ENVIRONMENTS), chance.choice(("ppo", "dqn", "sac"))
        figures = {name: chance.gauss(100, 60) for name in SUMMARY_COLUMNS}
        made.append(
            Run(
                name=f"{algorithm}-{environment}-s{index}",
                experiment=chance.choice(experiments),
                spec=spec,
                algorithm=algorithm,
                environment=environment,
                seed=index,
                total_timesteps=50_000,
                step=chance.choice((50_000, chance.randrange(50_000))),
                status=chance.choice(statuses),
                steps_per_second=chance.uniform(500, 5000),
                created_at=now - timedelta(minutes=index),
                loss_key="train/loss",
                **{name: value for name, value in figures.items() if chance.random() > 0.1},
            )
        )
    Run.objects.bulk_create(made, batch_size=500)


@contextmanager
def served() -> Iterator[int]:
    """Run the web server alone and give its port."""
    port = free_port()
    command = [sys.executable, "-m", "rlgym.server", "-b", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(
        [*command, "rlgym.asgi:application"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: _answers(port), 60, "the web server")
        yield port
    finally:
        process.terminate()
        process.wait(timeout=30)


def _answers(port: int) -> bool:
    try:
        HTTPConnection("127.0.0.1", port, timeout=5).request("GET", "/api/v1/health")
    except OSError:
        return False
    return True


def over_http(port: int, secret: str) -> Side:
    """Return what asks for the first page, over a connection of its own each time."""

    def ask() -> float:
        started_at = time.perf_counter()
        connection = HTTPConnection("127.0.0.1", port, timeout=30)
        connection.request("GET", LIST, headers={"Authorization": f"Bearer {secret}"})
        response = connection.getresponse()
        body = response.read()
        elapsed_s = time.perf_counter() - started_at
        connection.close()
        assert response.status == 200, body[:200]
        return elapsed_s * 1000

    return ask


def in_process(path: str) -> Side:
    """Return what asks for an address through every layer but the network."""
    from django.contrib.auth.models import User
    from django.test import Client

    client = Client(SERVER_NAME="127.0.0.1")
    client.force_login(User.objects.get())

    def ask() -> float:
        started_at = time.perf_counter()
        response = client.get(path)
        elapsed_s = time.perf_counter() - started_at
        assert response.status_code == 200, response.content[:200]
        return elapsed_s * 1000

    return ask


def deep(runs: int) -> str:
    """Return the address of the page after nine tenths of the runs."""
    from apps.experiments.listing.pages import Order, cursor_after
    from apps.experiments.listing.sorting import SORTS
    from apps.experiments.models import Run

    order = Order.parse("-return_best", SORTS)
    sorted_runs = Run.objects.filter(return_best__isnull=False).order_by("-return_best", "-pk")
    row = sorted_runs[int(sorted_runs.count() * 0.9)]
    return f"{LIST}&cursor={cursor_after(order, row)}"


@contextmanager
def mlflow(python: str, folder: Path, runs: int) -> Iterator[dict[str, Side]]:
    """Give MLflow's reading of the first page and of a deep one; nothing where it is missing."""
    if subprocess.run([python, "-c", "import mlflow"], capture_output=True).returncode:
        print("left out, not installed: mlflow")
        yield {}
        return
    peer = subprocess.Popen(
        [python, "-m", "benchmarks.mlflow_list", str(folder), str(runs)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert peer.stdin
    assert peer.stdout
    stdin, stdout = peer.stdin, peer.stdout
    assert stdout.readline() == "ready\n"

    def page_at(place: int) -> Side:
        def ask() -> float:
            stdin.write(f"{place}\n")
            stdin.flush()
            return float(stdout.readline()) * 1000

        return ask

    yield {"mlflow_first": page_at(0), "mlflow_deep": page_at(int(runs * 0.9))}
    stdin.close()
    peer.wait(timeout=30)


def p95(values: list[float]) -> float:
    """Return the 95th percentile."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def compare(folder: Path, runs: int, rounds: int, peer_python: str) -> None:
    """Fill both, ask alternately, print."""
    from apps.accounts.models import ApiToken, first_admin

    call_command("migrate", verbosity=0)
    fill(runs)
    secret = ApiToken.objects.issue(first_admin(), "benchmark")
    pages = {
        "first": LIST,
        "deep": deep(runs),
        "filtered": f"{LIST}&status=failed&environment=CartPole-v1",
        "searched": f"{LIST}&search=breakout",
        "html": "/runs/?order=-return_best",
        "admin": "/admin/experiments/run/",
    }
    with served() as port, mlflow(peer_python, folder / "mlflow", runs) as peers:
        ours = {
            "http": over_http(port, secret),
            **{name: in_process(path) for name, path in pages.items()},
        }
        interleaved(3, **ours)  # Caches fill, statements are prepared.
        samples: dict[str, list[float]] = {name: [] for name in (*ours, *peers)}
        for _ in range(math.ceil(rounds / PEER_EVERY)):
            # MLflow takes seconds: asked as often, it would take hours.
            for part in (interleaved(PEER_EVERY, **ours), interleaved(1, **peers)):
                for name, values in part.items():
                    samples[name] += values
    print_samples("ms", samples)
    for name, values in samples.items():
        print(f"{name:<24} p95 {p95(values):8.1f} ms")
    medians = {name: statistics.median(values) for name, values in samples.items()}
    for name in ("first", "deep"):
        if peers:
            times = medians[f"mlflow_{name}"] / medians[name]
            print(f"{name} page beside MLflow's: {times:.0f} times as fast")
    slowest = max(p95(samples["http"]), p95(samples["first"]))
    rounded: dict[str, Any] = {k: [round(v, 2) for v in values] for k, values in samples.items()}
    print_verdict("list", "value", slowest, TARGET_P95_MS, rounded)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--peer-python", default=sys.executable, help="an interpreter with MLflow")
    parser.add_argument("--only-fill", type=Path, help="fill this data directory, to look at it")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.only_fill or Path(temporary)
        os.environ["RLGYM_HOME"] = str(folder)
        os.environ["DJANGO_SETTINGS_MODULE"] = "rlgym.settings"
        django.setup()
        if options.only_fill:
            call_command("migrate", verbosity=0)
            return fill(options.runs)
        return compare(folder, options.runs, options.rounds, options.peer_python)


if __name__ == "__main__":
    main()
