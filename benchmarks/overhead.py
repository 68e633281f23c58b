"""What our training costs beside bare Stable-Baselines3: same hyperparameters, seed, threads.

Alternates `train()` (run directory, log of every scalar and episode, provenance, checkpoints)
with the library alone in one process, and prints the ratio of median wall times.
"""

import argparse
import statistics
import tempfile
import time
from importlib import import_module
from pathlib import Path

import torch
from stable_baselines3.common.env_util import make_vec_env

from apps.engine.algorithms import ALGORITHMS
from apps.engine.building import constructor_arguments
from apps.engine.rundir import RunDirectory
from apps.engine.spec import RunSpec
from apps.engine.training import train
from benchmarks.report import interleaved, print_samples, print_verdict

TARGET = 1.03


def spec_of(algorithm: str, total_timesteps: int) -> RunSpec:
    return RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": "CartPole-v1",
            "preset": "high_score",
            "total_timesteps": total_timesteps,
        }
    )


def ours(spec: RunSpec) -> float:
    with tempfile.TemporaryDirectory() as folder:
        directory = RunDirectory(Path(folder) / "run").create(spec.as_dict(), {})
        started_at = time.perf_counter()
        train(spec, directory)
        return time.perf_counter() - started_at


def bare(spec: RunSpec) -> float:
    torch.set_num_threads(1)
    started_at = time.perf_counter()
    env = make_vec_env(spec.environment, n_envs=spec.n_envs, seed=spec.seed)
    module, _, name = ALGORITHMS[spec.algorithm].class_path.partition(":")
    model = getattr(import_module(module), name)(
        "MlpPolicy", env, seed=spec.seed, device="cpu", **constructor_arguments(spec)
    )
    model.learn(spec.total_timesteps)
    env.close()
    return time.perf_counter() - started_at


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--timesteps", type=int, default=20_000)
    parser.add_argument("--algorithm", default="ppo", choices=tuple(ALGORITHMS))
    options = parser.parse_args()
    spec = spec_of(options.algorithm, options.timesteps)
    ours(spec_of(options.algorithm, 2_000))
    bare(spec_of(options.algorithm, 2_000))
    samples = interleaved(options.rounds, ours=lambda: ours(spec), bare=lambda: bare(spec))
    print_samples("s", samples)
    ratio = statistics.median(samples["ours"]) / statistics.median(samples["bare"])
    print_verdict(f"overhead-{options.algorithm}", "ratio", ratio, TARGET, samples)


if __name__ == "__main__":
    main()
