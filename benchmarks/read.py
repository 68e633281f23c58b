"""How long a chart waits for a long curve: a million points of a metric, thinned to 1,500 pixels.

Every side reads in a fresh process, alternately with the others; imports are not timed. Ours reads
the log alone, then the log with its side file, then once more in the same process. The peers read
what they themselves wrote, by what their own pages or clients call: TensorBoard's
EventAccumulator, MLflow's get_metric_history and the sampling that its charts use, trackio's
get_logs, Aim's whole metric and the sampling that its charts use. Those that are not installed are
left out: `.venv/bin/pip install '.[bench]'`; Aim's interpreter is `--aim-python`.

Another log, as training writes it, holds a million episodes and 50,000 lines of fifteen metrics.
"""

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from apps.analysis.curves import thin
from apps.metrics import store
from apps.metrics.columns import SIDE_FILE
from benchmarks.report import interleaved, print_samples, print_verdict
from benchmarks.scalars import KEY, PIXELS, values_of

# Seconds for ours; of the fastest peer's time, for ours with the side file.
TARGETS = {"log_alone": 1.0, "side_file": 0.06, "again": 0.01}
TARGET_RATIO = 0.1
BATCH = 1000
Read = Callable[[], int]


# Ours.


def write_log(folder: Path, points: int) -> None:
    """Write one metric a line."""
    folder.mkdir()
    with (folder / "metrics.jsonl").open("wb") as log:
        for index, value in enumerate(values_of(points)):
            event = {
                "type": "metrics",
                "t": 1763700000.0 + index * 0.0103217,
                "step": index * 4,
                "values": {KEY: value},
            }
            log.write(orjson.dumps(event) + b"\n")


def write_training_log(folder: Path, points: int) -> None:
    """Write episodes, and after each twenty a line of fifteen metrics."""
    folder.mkdir()
    with (folder / "metrics.jsonl").open("wb") as log:
        for index, value in enumerate(values_of(points)):
            head = {"t": 1763700000.0 + index * 0.0103217, "step": index * 22}
            episode = {"return": value, "length": 22, "env": index % 8}
            log.write(orjson.dumps({"type": "episode", **head, **episode}) + b"\n")
            if index % 20 == 0:
                values = {f"train/{name}": value / (name + 1) for name in range(14)}
                event = {"type": "metrics", **head, "values": {KEY: value, **values}}
                log.write(orjson.dumps(event) + b"\n")


def read_ours(folder: Path, key: str = KEY) -> Read:
    """Return our reading of a log."""
    return lambda: len(store.series(folder / "metrics.jsonl", [key], PIXELS).series[key].steps)


# Peers: what writes, and what returns the reading of it.


def write_tensorboard(folder: Path, points: int) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder), max_queue_size=BATCH)
    for index, value in enumerate(values_of(points)):
        summary = Summary(value=[Summary.Value(tag=KEY, simple_value=value)])
        writer.add_event(Event(step=index * 4, wall_time=1763700000.0, summary=summary))
    writer.close()


def read_tensorboard(folder: Path) -> Read:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    def read() -> int:
        accumulator = EventAccumulator(str(folder), size_guidance={"scalars": 0})  # All of them.
        accumulator.Reload()
        found = accumulator.Scalars(KEY)
        return thinned([one.step for one in found], [one.value for one in found])

    return read


def write_mlflow(folder: Path, points: int) -> None:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    folder.mkdir()
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    run = client.create_run(client.create_experiment("read")).info.run_id
    (folder / "run").write_text(run)
    values = values_of(points)
    for start in range(0, points, BATCH):
        batch = [
            Metric(KEY, values[index], 1763700000000 + index, index * 4)
            for index in range(start, min(start + BATCH, points))
        ]
        client.log_batch(run, metrics=batch)


def read_mlflow(folder: Path) -> Read:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    run = (folder / "run").read_text()

    def read() -> int:
        found = client.get_metric_history(run, KEY)
        return thinned([one.step for one in found], [one.value for one in found])

    return read


def read_mlflow_sampled(folder: Path) -> Read:
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    database = SqlAlchemyStore(f"sqlite:///{folder / 'mlflow.db'}", str(folder))
    run = (folder / "run").read_text()
    return lambda: len(
        database.get_metric_history_bulk_interval([run], KEY, PIXELS, None, None)
    )  # Some of the steps: the least and the greatest value may be missing.


def write_trackio(folder: Path, points: int) -> None:
    folder.mkdir()
    os.environ["TRACKIO_DIR"] = str(folder)
    from trackio.sqlite_storage import SQLiteStorage

    values = values_of(points)
    for start in range(0, points, 100 * BATCH):
        part = range(start, min(start + 100 * BATCH, points))
        logged = [{KEY: values[index]} for index in part]
        SQLiteStorage.bulk_log("read", "run", logged, steps=[index * 4 for index in part])


def read_trackio(folder: Path) -> Read:
    os.environ["TRACKIO_DIR"] = str(folder)
    from trackio.sqlite_storage import SQLiteStorage

    return lambda: len(SQLiteStorage.get_logs("read", "run", max_points=PIXELS))


def thinned(steps: list[int], values: list[float]) -> int:
    """Thin what a peer gave whole, as ours is thinned."""
    return len(thin(np.array(steps, np.float64), np.array(values), PIXELS))


# By name: the module that must be there, the folder, and the reading.
PEERS: dict[str, tuple[str, str, Callable[[Path], Read]]] = {
    "tensorboard": ("tensorboard", "tensorboard", read_tensorboard),
    "mlflow": ("mlflow", "mlflow", read_mlflow),
    "mlflow_sampled": ("mlflow", "mlflow", read_mlflow_sampled),
    "trackio": ("trackio", "trackio", read_trackio),
}
AIM = ("aim", "aim_sampled")
WRITERS: dict[str, Callable[[Path, int], None]] = {
    "ours": write_log,
    "training": write_training_log,
    "tensorboard": write_tensorboard,
    "mlflow": write_mlflow,
    "trackio": write_trackio,
}


def measure(name: str, root: Path) -> dict[str, Any]:
    """Read once in this process, ours twice: seconds, processor seconds, megabytes."""
    if name in PEERS:
        _, folder, reading = PEERS[name]
        read = reading(root / folder)
    else:
        is_training = name.startswith("training")
        folder = "training" if is_training else "ours"
        if name.endswith("log_alone"):
            (root / folder / SIDE_FILE).unlink(missing_ok=True)
        read = read_ours(root / folder, "episode/return" if is_training else KEY)
    before_mb = peak_mb()
    figures: dict[str, Any] = {}
    for label in ("", "again_") if name not in PEERS else ("",):
        started_at, processor_s = time.perf_counter(), time.process_time()
        points = read()
        figures[label + "s"] = time.perf_counter() - started_at
        figures[label + "cpu_s"] = time.process_time() - processor_s
        assert 300 < points <= 2 * PIXELS, points
    return {**figures, "peak_mb": peak_mb() - before_mb}


def peak_mb() -> float:
    """Return the most memory that this process ever took."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_apart(name: str, root: Path, kept: dict[str, list[dict[str, Any]]]) -> float:
    """Measure in a fresh process, and keep all figures."""
    command = [sys.executable, "-m", "benchmarks.read", "--one", name, "--data", str(root)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures = json.loads(output.splitlines()[-1])
    kept.setdefault(name, []).append(figures)
    return float(figures["s"])


def measure_aim(
    python: str, is_sampled: int, root: Path, kept: dict[str, list[dict[str, Any]]]
) -> float:
    """Let Aim read in a fresh process, and keep all figures."""
    figures = aim(python, "read", root, is_sampled)
    kept.setdefault(AIM[is_sampled], []).append(figures)
    return float(figures["s"])


def aim(python: str, what: str, root: Path, number: int) -> dict[str, Any]:
    """Run a command of Aim's module and return its figures."""
    command = [python, "-m", "benchmarks.aim_peer", what, str(root / "aim"), str(number)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    figures: dict[str, Any] = json.loads(output.splitlines()[-1])
    return figures


def prepare(root: Path, points: int, names: list[str]) -> None:
    """Write what is not there yet, each writer in a process of its own."""
    for name in names:
        if not (root / name).exists():
            command = [sys.executable, "-m", "benchmarks.read", "--write", name]
            command += ["--data", str(root), "--points", str(points)]
            subprocess.run(command, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--data", type=Path, help="where what is read is kept for the next call")
    parser.add_argument("--aim-python", help="an interpreter with Aim")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--write", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return print(json.dumps(measure(options.one, options.data)))
    if options.write:
        return WRITERS[options.write](options.data / options.write, options.points)
    with tempfile.TemporaryDirectory() as temporary:
        return compare(options, options.data or Path(temporary))


def compare(options: argparse.Namespace, root: Path) -> None:
    """Measure every side that is there and print what they took."""
    points = options.points
    there = {name: peer for name, peer in PEERS.items() if importlib.util.find_spec(peer[0])}
    print("left out, not installed:", ", ".join(PEERS.keys() - there.keys()) or "none")
    root.mkdir(exist_ok=True)
    prepare(root, points, ["ours", "training", *{folder for _, folder, _ in there.values()}])
    kept: dict[str, list[dict[str, Any]]] = {}
    peers = {name: partial(measure_apart, name, root, kept) for name in there}
    if options.aim_python:
        if not (root / "aim").exists():
            aim(options.aim_python, "write", root, points)
        for is_sampled, name in enumerate(AIM):
            peers[name] = partial(measure_aim, options.aim_python, is_sampled, root, kept)
    # The second of each pair finds the side file that the first one left.
    ours = ["log_alone", "side_file"]
    training = ["training_log_alone", "training_side_file"]
    for _ in range(options.rounds):
        for name in [*ours, *training]:
            measure_apart(name, root, kept)
        interleaved(1, **peers)
    samples = {name: [one["s"] for one in figures] for name, figures in kept.items()}
    samples["again"] = [one["again_s"] for name in ours for one in kept[name]]
    print_samples("s", samples)
    for name, figures in kept.items():
        cpu_s, peak = (statistics.median(one[k] for one in figures) for k in ("cpu_s", "peak_mb"))
        print(f"{name:<24} processor {cpu_s:7.3f} s   memory beyond imports {peak:6.0f} MB")
    medians = {name: statistics.median(values) for name, values in samples.items()}
    for name, target_s in TARGETS.items():
        print(f"{name}: {medians[name]:.4f} s, target {target_s} s")
    if not peers:
        return print_verdict("read", "value", medians["side_file"], TARGETS["side_file"], samples)
    fastest = min(peers, key=medians.__getitem__)
    for name in TARGETS:
        print(f"{name} beside {fastest}: {medians[fastest] / medians[name]:.0f} times as fast")
    ratio = medians["side_file"] / medians[fastest]
    return print_verdict("read", "ratio", ratio, TARGET_RATIO, samples)


if __name__ == "__main__":
    main()
