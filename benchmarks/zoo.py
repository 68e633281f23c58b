"""Our `train` command beside RL-Baselines3-Zoo's, as a user types them: whole processes.

Both train PPO with the zoo's tuned hyperparameters and the defaults of their command line: ours
writes its log, checkpoints, provenance, and evaluates at the end; the zoo evaluates as it goes.

    --what whole   seconds from command to exit, of one run
    --what speed   steps/s while training, of one run
    --what two     steps/s of two runs side by side, beside one alone and beside two of theirs

The peer comes with the extra `bench`, or `--peer-python` names an interpreter that has it.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.report import interleaved, print_samples, print_verdict

ROOT = Path(__file__).resolve().parents[1]
TARGETS = {"whole": 0.7, "speed": 0.5, "two": 0.05}
# Where environments or matrix products take most of the time, not that much is to be had.
SPEED_TARGETS = {
    ("ppo", "LunarLander-v3"): 1 / 1.4,
    ("ppo", "BreakoutNoFrameskip-v4"): 1.0,
    ("sac", "Pendulum-v1"): 1.0,
    ("td3", "Pendulum-v1"): 1.0,
    ("dqn", "CartPole-v1"): 1.0,
}


def ours(options: argparse.Namespace) -> tuple[float, float]:
    """Run our command; return its seconds, and steps/s of its training."""
    with tempfile.TemporaryDirectory() as home:
        command = [
            sys.executable,
            "manage.py",
            "train",
            "--algo",
            options.algorithm,
            "--env",
            options.environment,
            "--preset",
            "high_score",
            "-n",
            str(options.timesteps),
            "--no-video",
            "--json",
        ]
        environment = {**os.environ, "RLGYM_HOME": home}
        subprocess.run(
            [sys.executable, "manage.py", "migrate", "-v", "0"],
            cwd=ROOT,
            env=environment,
            check=True,
        )
        started_at = time.perf_counter()
        done = subprocess.run(
            command, cwd=ROOT, env=environment, check=True, capture_output=True, text=True
        )
        took_s = time.perf_counter() - started_at
        run = json.loads(done.stdout)
        log = Path(home) / "media" / "runs" / run["id"] / "metrics.jsonl"
        return took_s, options.timesteps / _training_s(log)


def _training_s(log: Path) -> float:
    """Seconds from the line that says `running` to the last one that training wrote."""
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    began = next(line["t"] for line in lines if line.get("status") == "running")
    return float(max(line["t"] for line in lines if line["type"] == "metrics") - began)


def theirs(options: argparse.Namespace) -> tuple[float, float]:
    """Run the zoo's command; return its seconds, and the steps/s that it prints."""
    timesteps = options.peer_timesteps or options.timesteps
    with tempfile.TemporaryDirectory() as folder:
        command = [
            options.peer_python,
            "-m",
            "rl_zoo3.train",
            "--algo",
            options.algorithm,
            "--env",
            options.environment,
            "-n",
            str(timesteps),
            "-f",
            folder,
        ]
        started_at = time.perf_counter()
        done = subprocess.run(
            command,
            cwd=folder,
            check=True,
            capture_output=True,
            text=True,
            timeout=options.timeout,
        )
        took_s = time.perf_counter() - started_at
    return took_s, float(re.findall(r"fps\s*\|\s*(\d+)", done.stdout)[-1])


def side_by_side(run: object, options: argparse.Namespace) -> float:
    """Run two at once; return their steps/s together."""
    assert callable(run)
    with ThreadPoolExecutor(2) as pool:
        return sum(speed for _, speed in pool.map(run, [options, options]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--what", choices=tuple(TARGETS), default="whole")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timesteps", type=int, default=50_000)
    parser.add_argument("--peer-timesteps", type=int, help="where theirs would take too long")
    parser.add_argument("--algorithm", default="ppo")
    parser.add_argument("--environment", default="CartPole-v1")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--timeout", type=float, default=1800.0, help="seconds for one peer run")
    options = parser.parse_args()
    if options.peer_timesteps and options.what == "whole":
        parser.error("seconds of runs of other lengths do not compare; leave --peer-timesteps out")
    name = f"zoo-{options.what}-{options.algorithm}-{options.environment}"
    target = TARGETS[options.what]
    if options.what == "speed":
        target = SPEED_TARGETS.get((options.algorithm, options.environment), target)
    if options.what == "whole":
        samples = interleaved(
            options.rounds, ours=lambda: ours(options)[0], theirs=lambda: theirs(options)[0]
        )
        print_samples("s", samples)
        ratio = statistics.median(samples["ours"]) / statistics.median(samples["theirs"])
    elif options.what == "speed":
        samples = interleaved(
            options.rounds, ours=lambda: ours(options)[1], theirs=lambda: theirs(options)[1]
        )
        print_samples("steps/s", samples)
        ratio = statistics.median(samples["theirs"]) / statistics.median(samples["ours"])
    else:
        samples = interleaved(
            options.rounds,
            one=lambda: ours(options)[1],
            two=lambda: side_by_side(ours, options),
            theirs=lambda: side_by_side(theirs, options),
        )
        print_samples("steps/s", samples)
        medians = {side: statistics.median(values) for side, values in samples.items()}
        print(f"two of ours by one of ours: {medians['two'] / medians['one']:.2f} (target 1.8)")
        ratio = medians["theirs"] / medians["two"]
    print_verdict(name, "ratio", ratio, target, samples)


if __name__ == "__main__":
    main()
