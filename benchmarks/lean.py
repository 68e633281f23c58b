"""The lean loops of PPO and A2C beside the library's own: same hyperparameters, seed, threads.

Alternates both in one process and prints the ratio of median times, ours by theirs. Both end with
the same policy, which is compared too.
"""

import argparse
import statistics
import time
from importlib import import_module
from typing import Any

import torch
from stable_baselines3.common.env_util import make_vec_env

from apps.engine.algorithms import ALGORITHMS
from apps.engine.building import ALGORITHM_CLASSES, constructor_arguments
from apps.engine.spec import RunSpec
from benchmarks.report import interleaved, print_samples, print_verdict

TARGET = 0.6


def learn(kind: Any, spec: RunSpec) -> tuple[float, Any]:
    env = make_vec_env(spec.environment, n_envs=spec.n_envs, seed=spec.seed)
    model = kind("MlpPolicy", env, seed=spec.seed, device="cpu", **constructor_arguments(spec))
    started_at = time.perf_counter()
    model.learn(spec.total_timesteps)
    took_s = time.perf_counter() - started_at
    env.close()
    return took_s, model


def is_same(one: Any, other: Any) -> bool:
    ours, theirs = one.policy.state_dict(), other.policy.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--timesteps", type=int, default=20_000)
    parser.add_argument("--algorithm", default="ppo", choices=("ppo", "a2c"))
    parser.add_argument("--environment", default="CartPole-v1")
    options = parser.parse_args()
    torch.set_num_threads(1)
    spec = RunSpec.from_dict({
        "algorithm": options.algorithm, "environment": options.environment,
        "preset": "high_score", "total_timesteps": options.timesteps,
    })  # fmt: skip
    module, _, name = ALGORITHMS[options.algorithm].class_path.partition(":")
    theirs, ours = getattr(import_module(module), name), ALGORITHM_CLASSES[options.algorithm]
    print("the same policy:", is_same(learn(ours, spec)[1], learn(theirs, spec)[1]))
    samples = interleaved(
        options.rounds, ours=lambda: learn(ours, spec)[0], theirs=lambda: learn(theirs, spec)[0]
    )
    print_samples("s", samples)
    speeds = {side: spec.total_timesteps / statistics.median(s) for side, s in samples.items()}
    print("steps/s:", {side: round(speed) for side, speed in speeds.items()})
    ratio = statistics.median(samples["ours"]) / statistics.median(samples["theirs"])
    print_verdict(f"lean-{options.algorithm}-{spec.environment}", "ratio", ratio, TARGET, samples)


if __name__ == "__main__":
    main()
