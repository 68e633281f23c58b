"""What our training costs beside bare Stable-Baselines3: same hyperparameters, seed, threads.

Alternates `train()` (run directory, log of every scalar and episode, provenance, checkpoints)
with the library alone in one process, and prints the ratio of median wall times.

With `--backend sbx` ours trains in JAX, what it compiles compiled before; the other side stays the
same library. That needs `.venv/bin/pip install '.[sbx]'`.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import torch
from stable_baselines3.common.env_util import make_vec_env

from apps.engine.algorithms import ALGORITHMS
from apps.engine.backends import DEFAULT_BACKEND
from apps.engine.building import constructor_arguments
from apps.engine.rundir import RunDirectory
from apps.engine.spec import RunSpec
from apps.engine.training import train
from benchmarks.report import interleaved, print_samples, print_verdict

TARGETS = {DEFAULT_BACKEND: 1.03, "sbx": 0.5}
WARM_UP_STEPS = 2_000


def spec_of(options: argparse.Namespace, timesteps: int, backend: str) -> RunSpec:
    return RunSpec.from_dict({
        "algorithm": options.algorithm, "environment": options.environment,
        "preset": "high_score", "total_timesteps": timesteps, "backend": backend,
    })  # fmt: skip


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
    parser.add_argument("--environment", default="CartPole-v1")
    parser.add_argument("--backend", default=DEFAULT_BACKEND, choices=tuple(TARGETS))
    options = parser.parse_args()
    spec = spec_of(options, options.timesteps, options.backend)
    plain = spec_of(options, options.timesteps, DEFAULT_BACKEND)
    ours(replace(spec, total_timesteps=WARM_UP_STEPS))
    bare(replace(plain, total_timesteps=WARM_UP_STEPS))
    samples = interleaved(options.rounds, ours=lambda: ours(spec), bare=lambda: bare(plain))
    print_samples("s", samples)
    ratio = statistics.median(samples["ours"]) / statistics.median(samples["bare"])
    name = f"overhead-{options.backend}-{options.algorithm}-{options.environment}"
    print_verdict(name, "ratio", ratio, TARGETS[options.backend], samples)


if __name__ == "__main__":
    main()
