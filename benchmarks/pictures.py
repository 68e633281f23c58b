"""What a trainer's environment variables are worth to a network that reads pictures.

PPO on Breakout with the zoo's settings, steps/s, processes of their own, alternately: as trainers
are started (`apps.jobs.trainers.DEFAULTS`), with the C library's own way of giving memory back,
with threads that sleep at once, and with both. `--threads 2 1` trains two side by side, the first
in two threads, and counts the steps of both.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.report import interleaved, print_samples, print_verdict

ROOT = Path(__file__).resolve().parents[1]
TARGET = 0.9


def train(timesteps: int, threads: int) -> float:
    """Train in this process; return steps/s."""
    import torch

    from apps.engine.models.building import build_model
    from apps.engine.models.devices import leave_compiler_out
    from apps.engine.stepping.choosing import vectorized
    from apps.spec.run import RunSpec

    leave_compiler_out()
    spec = RunSpec.from_dict(
        {
            "algorithm": "ppo",
            "environment": "BreakoutNoFrameskip-v4",
            "preset": "high_score",
            "total_timesteps": timesteps,
        }
    )
    env, _ = vectorized(spec)
    model = build_model(spec, env)
    torch.set_num_threads(threads)
    started_at = time.perf_counter()
    model.learn(timesteps)
    return timesteps / (time.perf_counter() - started_at)


def trained(options: argparse.Namespace, without: tuple[str, ...] = ()) -> float:
    """Train in processes of their own; return their steps/s together.

    Args:
        options: For how long, and in how many threads each.
        without: What the names of variables that are left out begin with.
    """
    from apps.jobs.trainers import DEFAULTS

    variables = {**os.environ, **DEFAULTS, "OMP_WAIT_POLICY": "PASSIVE"}
    kept = {name: value for name, value in variables.items() if not name.startswith(without)}

    def run(threads: int) -> float:
        command = [
            sys.executable,
            "-m",
            "benchmarks.pictures",
            "--train",
            "--timesteps",
            str(options.timesteps),
            "--threads",
            str(threads),
        ]
        done = subprocess.run(
            command, cwd=ROOT, check=True, capture_output=True, text=True, env=kept
        )
        return float(done.stdout.split()[-1])

    with ThreadPoolExecutor() as pool:
        return sum(pool.map(run, options.threads))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--timesteps", type=int, default=5_120)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, nargs="+", default=[os.cpu_count()])
    parser.add_argument("--train", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.train:
        print(train(options.timesteps, *options.threads))
        return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlgym.settings")
    samples = interleaved(
        options.rounds,
        ours=lambda: trained(options),
        given_back=lambda: trained(options, without=("MALLOC_",)),
        both=lambda: trained(options, without=("MALLOC_", "GOMP_")),
        asleep=lambda: trained(options, without=("GOMP_",)),
    )
    print_samples("steps/s", samples)
    ratio = statistics.median(samples["both"]) / statistics.median(samples["ours"])
    print_verdict("pictures", "ratio", ratio, TARGET, samples)


if __name__ == "__main__":
    main()
