"""What it costs to log: scalars in dumps of twelve, by our log writer and by other trackers.

Every side writes in a fresh process, alternately with the others; imports are not timed, nor is
what a side does before its first scalar. Ours is what Stable-Baselines3 calls in a training, to
the end of the log's last line and an fsync. TensorBoard's is torch's `SummaryWriter`, to its
close; MLflow's is `log_batch` with SQLite and Aim's `track` with its local store, for fewer dumps,
their time scaled; trackio's `log` and `finish` with its local store. Over a server, our client
sends to ours and trackio's to its own; both are timed until the last row was acknowledged, and
`our_client` is the part of it that a training loop waits for. Every side's scalars are counted
afterwards.

What may be lost: a kill -9 of the training costs ours the last fifth of a second, TensorBoard's
queue, trackio's last half second, MLflow nothing. A power cut costs ours what the kernel had not
written, and so it does with trackio (its WAL is not synced at each commit); MLflow's is synced.

Last comes the share of a training that our logging takes, by a clock around it. Peers that are not
installed are left out: `.venv/bin/pip install '.[bench]'`; Aim's interpreter is `--aim-python`.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from apps.client import rlgym_client
from apps.engine.training import log
from apps.engine.training.callback import TrainingCallback
from apps.engine.training.log import EventLog, scalar_logger
from apps.engine.training.training import train
from apps.rundir.directory import RunDirectory
from apps.rundir.log import LogWriter
from apps.spec.run import RunSpec
from benchmarks.report import Clock, interleaved, print_samples, print_verdict
from benchmarks.scalars import KEYS, Dumps, made
from tests.live_stack import LiveStack, free_port

# How many times as fast as a peer ours is to be, and the share of a training that it may take.
TARGETS = {"mlflow": 1000, "tensorboard": 30, "trackio": 8, "trackio_server": 3}
TARGET_SHARE = 0.01
WAIT_S = 600.0


# Writers: each returns the seconds it took.


def write_ours(folder: Path, dumps: Dumps) -> float:
    path = folder / "metrics.jsonl"
    with LogWriter(path) as writer:
        log = EventLog(writer)
        (scalars,) = scalar_logger(log).output_formats
        started_at = time.perf_counter()
        for step, values in enumerate(dumps):
            scalars.write(values, {}, step)
        log.flush()
        with path.open("rb") as file:
            os.fsync(file.fileno())
        took_s = time.perf_counter() - started_at
    check(path.read_bytes().count(b"train/metric_"), len(dumps))
    return took_s


def write_tensorboard(folder: Path, dumps: Dumps) -> float:
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder))
    started_at = time.perf_counter()
    for step, values in enumerate(dumps):
        for key, value in values.items():
            writer.add_scalar(key, value, step)
    writer.close()
    took_s = time.perf_counter() - started_at
    (file,) = folder.iterdir()
    check(file.read_bytes().count(b"train/metric_"), len(dumps))
    return took_s


def write_mlflow(folder: Path, dumps: Dumps) -> float:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    run = client.create_run(client.create_experiment("ingest")).info.run_id
    client.log_batch(run, metrics=[Metric("first", 0.0, 0, 0)])  # Connects.
    started_at = time.perf_counter()
    for step, values in enumerate(dumps):
        now_ms = int(time.time() * 1000)
        metrics = [Metric(key, value, now_ms, step) for key, value in values.items()]
        client.log_batch(run, metrics=metrics)
    took_s = time.perf_counter() - started_at
    check(sum(len(client.get_metric_history(run, key)) for key in KEYS), len(dumps))
    return took_s


def write_trackio(folder: Path, dumps: Dumps, server_url: str | None = None) -> float:
    if server_url is None:
        os.environ["TRACKIO_DIR"] = str(folder)
    import trackio

    run = trackio.init(
        "ingest",
        f"run-{os.getpid()}",
        server_url=server_url,
        auto_log_gpu=False,
        auto_log_cpu=False,
    )
    started_at = time.perf_counter()
    for step, values in enumerate(dumps):
        run.log(values, step=step)
    run.finish()
    took_s = time.perf_counter() - started_at
    from trackio.sqlite_storage import SQLiteStorage

    logs = SQLiteStorage.get_logs("ingest", run.name)
    check(sum(key in one for one in logs for key in KEYS), len(dumps))
    return took_s


def write_ours_server(folder: Path, dumps: Dumps, is_loop_only: bool = False) -> float:
    run = rlgym_client.init("ingest", config={"dumps": len(dumps)}, spool=str(folder))
    started_at = time.perf_counter()
    for step, values in enumerate(dumps):
        run.log(values, step)
    loop_s = time.perf_counter() - started_at
    run.finish(timeout_s=WAIT_S)
    took_s = time.perf_counter() - started_at
    log = Path(os.environ["RLGYM_HOME"]) / "media" / "runs" / run.id / "metrics.jsonl"
    check(log.read_bytes().count(b"train/metric_"), len(dumps))
    return loop_s if is_loop_only else took_s


def write_trackio_server(folder: Path, dumps: Dumps) -> float:
    with trackio_server() as url:
        return write_trackio(folder, dumps, url)


@contextmanager
def trackio_server() -> Iterator[str]:
    """Serve trackio's store in a process of its own; give the address that may be written to."""
    port = free_port()
    code = (
        "import sys, trackio\n"
        f"told = trackio.show(open_browser=False, block_thread=False, server_port={port})\n"
        "print('address', told[-1], flush=True)\n"
        "sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        assert server.stdin is not None
        told = next(line for line in server.stdout if line.startswith("address "))
        try:
            yield told.split()[1]
        finally:
            server.stdin.close()
            server.terminate()


def check(found: int, dumps: int) -> None:
    """Fail when scalars are missing, or there twice."""
    if found != dumps * len(KEYS):
        raise SystemExit(f"{found} of {dumps * len(KEYS)} scalars arrived")


# By name: the module that must be there, and the writer.
SIDES: dict[str, tuple[str, Callable[[Path, Dumps], float]]] = {
    "ours": ("orjson", write_ours),
    "tensorboard": ("tensorboard", write_tensorboard),
    "mlflow": ("mlflow", write_mlflow),
    "trackio": ("trackio", write_trackio),
    "ours_server": ("orjson", write_ours_server),
    "trackio_server": ("trackio", write_trackio_server),
    "our_client": ("orjson", partial(write_ours_server, is_loop_only=True)),
}


def measure_apart(name: str, dumps: int, environment: dict[str, str]) -> float:
    """Let a side write in a fresh process and folder; return microseconds for each dump."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.ingest", "--one", name]
        command += ["--dumps", str(dumps), "--folder", folder]
        apart = {**environment, "TRACKIO_DIR": folder, "MLFLOW_DISABLE_TELEMETRY": "true"}
        done = subprocess.run(command, env=apart, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}: {done.stderr[-2000:]}")
    (took,) = (line for line in done.stdout.splitlines() if line.startswith("took "))
    return float(took.split()[1]) / dumps * 1e6


def measure_aim(python: str, dumps: int) -> float:
    """Let Aim write in a fresh process and folder; return microseconds for each dump."""
    with tempfile.TemporaryDirectory() as folder:
        command = [python, "-m", "benchmarks.aim_peer", "ingest", folder, str(dumps)]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return float(json.loads(output.splitlines()[-1])["s"]) / dumps * 1e6


# In a training.


def share_of_training(n_envs: int, timesteps: int) -> tuple[float, float]:
    """Train PPO on CartPole; return the share that logging took, and microseconds for a dump."""
    spec = RunSpec.from_dict(
        {
            "algorithm": "ppo",
            "environment": "CartPole-v1",
            "n_envs": n_envs,
            "total_timesteps": timesteps,
        }
    )
    whole, dumps = Clock(), Clock()
    writer = log._ScalarWriter
    timed = {
        (EventLog, "flush"): whole.around(EventLog.flush),
        (TrainingCallback, "_record_episodes"): whole.around(TrainingCallback._record_episodes),
        (TrainingCallback, "_record_progress"): whole.around(TrainingCallback._record_progress),
        (writer, "write"): dumps.around(whole.around(writer.write)),
    }
    kept = {(owner, name): getattr(owner, name) for owner, name in timed}
    for (owner, name), function in timed.items():
        setattr(owner, name, function)
    try:
        with tempfile.TemporaryDirectory() as folder:
            directory = RunDirectory(Path(folder) / "run").create(spec.as_dict(), {})
            started_at = time.perf_counter()
            train(spec, directory)
            took_s = time.perf_counter() - started_at
    finally:
        for (owner, name), function in kept.items():
            setattr(owner, name, function)
    return whole.spent_s / took_s, dumps.spent_s / dumps.calls * 1e6


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--dumps", type=int, default=20_000, help="of twelve scalars each")
    parser.add_argument("--slow-dumps", type=int, default=500, help="for MLflow and Aim")
    parser.add_argument("--aim-python", help="an interpreter with Aim")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--timesteps", type=int, default=50_000, help="of each training")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return print("took", SIDES[options.one][1](options.folder, made(options.dumps)))
    return compare(options)


def compare(options: argparse.Namespace) -> None:
    """Measure every side that is there and print what a dump took."""
    there = [name for name, (module, _) in SIDES.items() if importlib.util.find_spec(module)]
    print("left out, not installed:", ", ".join(SIDES.keys() - set(there)) or "none")
    with tempfile.TemporaryDirectory() as home, LiveStack(Path(home)) as stack:
        environment = {
            **stack.environment,
            "RLGYM_URL": stack.address,
            "RLGYM_TOKEN": stack.token(),
        }
        dumps = dict.fromkeys(there, options.dumps) | {"mlflow": options.slow_dumps}
        sides = {name: partial(measure_apart, name, dumps[name], environment) for name in there}
        if options.aim_python:
            sides["aim"] = partial(measure_aim, options.aim_python, options.slow_dumps)
        samples = interleaved(options.rounds, **sides)
    few = options.slow_dumps * len(KEYS)
    print(f"{options.dumps * len(KEYS):,} scalars; MLflow and Aim {few:,}")
    print_samples("us a dump", samples)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    misses = []
    for peer, target in TARGETS.items():
        if peer in medians:
            ours = medians["ours_server" if peer.endswith("server") else "ours"]
            ratio = medians[peer] / ours
            misses.append(target / ratio)
            print(f"beside {peer}: {ratio:,.1f} times as fast, target {target:,}")
    if "aim" in medians:
        print(f"beside aim: {medians['aim'] / medians['ours']:,.1f} times as fast")
    for n_envs in (1, 8):
        found = [share_of_training(n_envs, options.timesteps) for _ in range(options.rounds)]
        share, cost_us = (statistics.median(values) for values in zip(*found, strict=True))
        misses.append(share / TARGET_SHARE)
        samples[f"share_{n_envs}_envs"] = [one for one, _ in found]
        print(f"{n_envs} env: {share:.2%} of the training, {cost_us:.0f} us a dump")
    print_verdict("ingest", "value", max(misses), 1.0, samples)


if __name__ == "__main__":
    main()
