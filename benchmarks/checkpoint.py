"""What a checkpoint costs: how long training stands still, and how much memory it takes.

Saves the same models again and again: PPO and DQN with small networks, and DQN with a replay
buffer of a million transitions. There is no peer: nobody else saves all of this; the bare
library's `save()` (weights and hyperparameters only) is shown beside it.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

from apps.engine import capture, checkpoints
from apps.engine.building import build_model
from apps.engine.rundir import RunDirectory
from apps.engine.spec import RunSpec
from benchmarks.report import print_samples, print_verdict

TARGET_MS = 50.0
TARGET_BUFFER_S = 2.0


def model_of(algorithm: str, **hyperparameters: int) -> tuple[RunSpec, BaseAlgorithm]:
    spec = RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": "CartPole-v1",
            "total_timesteps": 500,
            "hyperparameters": hyperparameters,
        }
    )
    model = build_model(spec, make_vec_env(spec.environment, seed=spec.seed))
    model.learn(500)
    return spec, model


def save_ms(spec: RunSpec, model: BaseAlgorithm, directory: RunDirectory, step: int) -> float:
    started_at = time.perf_counter()
    state = capture.capture(model, spec, {})
    checkpoints.save(model, directory, state, checkpoints.Rank(step, True, False, 2))
    return (time.perf_counter() - started_at) * 1000


def bare_save_ms(model: BaseAlgorithm, folder: Path) -> float:
    started_at = time.perf_counter()
    model.save(folder / "bare.zip")
    return (time.perf_counter() - started_at) * 1000


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    samples: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        for algorithm, hyperparameters in (
            ("ppo", {"n_steps": 64}),
            ("dqn", {"buffer_size": 1000}),
        ):
            spec, model = model_of(algorithm, **hyperparameters)
            directory = RunDirectory(folder / algorithm).create(spec.as_dict(), {})
            for step in range(options.rounds):
                samples.setdefault(f"{algorithm} ms", []).append(
                    save_ms(spec, model, directory, step)
                )
                samples.setdefault(f"{algorithm} bare ms", []).append(bare_save_ms(model, folder))
        spec, model = model_of("dqn", buffer_size=1_000_000)
        buffer = model.replay_buffer  # type: ignore[attr-defined]
        for array in (buffer.observations, buffer.next_observations, buffer.rewards):
            array[:] = 1.0  # Touches every page, as a full buffer has.
        buffer.full = True
        directory = RunDirectory(folder / "buffer").create(spec.as_dict(), {})
        before_mb = peak_mb()
        samples["million ms"] = [save_ms(spec, model, directory, step) for step in range(5)]
        grown_mb = peak_mb() - before_mb
    print_samples("ms", samples)
    print(f"peak memory grew by {grown_mb:.0f} MB while a million transitions were saved")
    worst = max(statistics.median(samples[name]) for name in ("ppo ms", "dqn ms"))
    million_s = statistics.median(samples["million ms"]) / 1000
    print(f"million transitions: {million_s:.2f} s, target {TARGET_BUFFER_S} s")
    print_verdict("checkpoint", "value", worst, TARGET_MS, samples)


if __name__ == "__main__":
    main()
