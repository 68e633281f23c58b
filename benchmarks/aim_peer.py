"""Aim as a peer of the benchmarks of logs; its libraries do not go with those of the others.

python3.11 -m venv aim && aim/bin/pip install 'aim==3.29.1'
.venv/bin/python -m benchmarks.ingest --aim-python aim/bin/python
.venv/bin/python -m benchmarks.read --aim-python aim/bin/python
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

from aim import Repo, Run
from aim.storage.context import Context

from benchmarks.scalars import KEY, KEYS, PIXELS, made, values_of


def begin(folder: Path) -> Run:
    """Begin a run in a store of its own; nothing but what is tracked goes there."""
    folder.mkdir(exist_ok=True)
    Repo.from_path(str(folder), init=True)
    return Run(repo=str(folder), system_tracking_interval=None, capture_terminal_logs=False)


def curve(folder: Path, key: str) -> Any:
    """Return a metric of the store's only run."""
    repo = Repo.from_path(str(folder))
    (name,) = repo.list_all_runs()
    return Run(name, repo=repo, system_tracking_interval=None).get_metric(key, Context({}))


def ingest(folder: Path, count: int) -> dict[str, float]:
    """Track dumps of twelve, and see that they are there."""
    run, dumps = begin(folder), made(count)
    started_at = time.perf_counter()
    for step, values in enumerate(dumps):
        run.track(values, step=step)
    run.close()
    took_s = time.perf_counter() - started_at
    found = sum(len(curve(folder, key).values.sparse_numpy()[0]) for key in KEYS)
    assert found == count * len(KEYS), found
    return {"s": took_s}


def write(folder: Path, points: int) -> dict[str, float]:
    """Track the long curve."""
    run = begin(folder)
    for index, value in enumerate(values_of(points)):
        run.track(value, name=KEY, step=index * 4)
    run.close()
    return {}


def read(folder: Path, is_sampled: int) -> dict[str, float]:
    """Read the long curve, whole or sampled as Aim's charts are."""
    started_at, processor_s = time.perf_counter(), time.process_time()
    before_mb = peak_mb()
    metric = curve(folder, KEY)
    if is_sampled:
        points = len(metric.data.view("val").sample(PIXELS).items_list()[0])
    else:
        points = len(metric.values.sparse_numpy()[0])
    assert points >= 300, points
    return {
        "s": time.perf_counter() - started_at,
        "cpu_s": time.process_time() - processor_s,
        "peak_mb": peak_mb() - before_mb,
    }


def peak_mb() -> float:
    """Return the most memory that this process ever took."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=["ingest", "write", "read"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("number", type=int, help="of dumps or points; to read: 1 for a sample")
    options = parser.parse_args()
    what = {"ingest": ingest, "write": write, "read": read}[options.what]
    print(json.dumps(what(options.folder, options.number)))
