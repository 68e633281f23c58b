"""What our training costs beside bare Stable-Baselines3: same hyperparameters, seed, threads.

Alternates `train()` (run directory, log of every scalar and episode, provenance, checkpoints)
with the library alone in one process, and prints the ratio of median wall times.

With `--processor` the clock is the processor's, for a machine that does other work as well.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
from stable_baselines3.common.env_util import make_vec_env

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.engine.models.arguments import constructor_arguments
from apps.engine.stepping.normalized import normalized
from apps.engine.training.training import Attempt, train
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from benchmarks.report import interleaved, print_samples, print_verdict

TARGET = 1.03
WARM_UP_STEPS = 2_000
Clock = Callable[[], float]


def spec_of(options: argparse.Namespace) -> RunSpec:
    return RunSpec.from_dict(
        {
            "algorithm": options.algorithm,
            "environment": options.environment,
            "preset": "high_score",
            "total_timesteps": options.timesteps,
        }
    )


def ours(spec: RunSpec, clock: Clock) -> float:
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory(Path(folder) / "run").create(spec.as_dict(), {})
        started_at = clock()
        train(spec, directory, attempt=Attempt(threads=1))
        return clock() - started_at


def bare(spec: RunSpec, clock: Clock) -> float:
    torch.set_num_threads(1)
    started_at = clock()
    env = normalized(make_vec_env(spec.environment, n_envs=spec.n_envs, seed=spec.seed), spec)
    module, _, name = ALGORITHMS[spec.algorithm].class_path.partition(":")
    model = getattr(import_module(module), name)(
        "MlpPolicy", env, seed=spec.seed, device="cpu", **constructor_arguments(spec)
    )
    model.learn(spec.total_timesteps)
    env.close()
    return clock() - started_at


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--timesteps", type=int, default=20_000)
    parser.add_argument("--algorithm", default="ppo", choices=tuple(ALGORITHMS))
    parser.add_argument("--environment", default="CartPole-v1")
    parser.add_argument("--processor", action="store_true", help="processor time")
    options = parser.parse_args()
    clock = time.process_time if options.processor else time.perf_counter
    spec = spec_of(options)
    for side in (ours, bare):
        side(replace(spec, total_timesteps=WARM_UP_STEPS), clock)
    samples = interleaved(
        options.rounds, ours=lambda: ours(spec, clock), bare=lambda: bare(spec, clock)
    )
    print_samples("s", samples)
    ratio = statistics.median(samples["ours"]) / statistics.median(samples["bare"])
    name = f"overhead-{options.algorithm}-{options.environment}"
    print_verdict(name, "ratio", ratio, TARGET, samples)


if __name__ == "__main__":
    main()
