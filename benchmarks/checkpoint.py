"""What a checkpoint costs: how long training stands still, and how much memory it takes.

Saves the same models again and again: PPO and DQN with small networks, and DQN with a replay
buffer of a million transitions, first whole and then with ten thousand new ones each time. There
is no peer: nobody else saves all of this; the bare library's `save()` (weights and hyperparameters
only) is shown beside it.
"""

import argparse
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.env_util import make_vec_env

from apps.engine import capture, checkpoints
from apps.engine.building import build_model
from apps.engine.rundir import RunDirectory
from apps.engine.spec import RunSpec
from apps.engine.transitions import SharedChunks
from benchmarks.report import print_samples, print_verdict

MILLION = 1_000_000
NEW_TRANSITIONS = 10_000
TARGETS_MS = {"ppo": 50.0, "dqn": 50.0, "million, first": 2000.0, "million, later": 200.0}


class Saver:
    """Saves one model again and again, as training does."""

    def __init__(self, folder: Path, algorithm: str, **hyperparameters: int) -> None:
        self.spec = RunSpec.from_dict(
            {
                "algorithm": algorithm,
                "environment": "CartPole-v1",
                "total_timesteps": 500,
                "hyperparameters": hyperparameters,
            }
        )
        env = make_vec_env(self.spec.environment, seed=self.spec.seed)
        self.model: Any = build_model(self.spec, env)
        self.model.learn(500)
        self.directory = RunDirectory(folder).create(self.spec.as_dict(), {})
        self.chunks = SharedChunks()
        self.saves = 0

    def save_ms(self) -> float:
        self.saves += 1
        rank = checkpoints.Rank(self.saves, True, False, 2)
        started_at = time.perf_counter()
        state = capture.capture(self.model, self.spec, {})
        checkpoints.save(self.model, self.directory, state, rank, self.chunks)
        return (time.perf_counter() - started_at) * 1000

    def fill(self, count: int) -> None:
        """Let a buffer look as if so many transitions had been added; every page is touched."""
        buffer = self.model.replay_buffer
        rows = slice(buffer.pos, buffer.pos + count)
        for array in (buffer.observations, buffer.next_observations, buffer.rewards):
            array[rows] = self.saves
        buffer.full = buffer.full or rows.stop >= MILLION
        buffer.pos = rows.stop % MILLION
        self.model.num_timesteps += count


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
        small = [
            ("ppo", Saver(folder / "ppo", "ppo", n_steps=64)),
            ("dqn", Saver(folder / "dqn", "dqn", buffer_size=1000)),
        ]
        for _ in range(options.rounds):
            for name, saver in small:
                samples.setdefault(name, []).append(saver.save_ms())
                samples.setdefault(f"{name}, bare", []).append(bare_save_ms(saver.model, folder))
        grown_mb = 0.0
        for number in range(max(options.rounds // 4, 1)):
            large = Saver(folder / str(number), "dqn", buffer_size=MILLION)
            large.fill(MILLION - large.model.replay_buffer.pos)
            before_mb = peak_mb()
            samples.setdefault("million, first", []).append(large.save_ms())
            for _ in range(4):
                large.fill(NEW_TRANSITIONS)
                samples.setdefault("million, later", []).append(large.save_ms())
            grown_mb = max(grown_mb, peak_mb() - before_mb)
    print_samples("ms", samples)
    print(f"peak memory grew by {grown_mb:.0f} MB while a million transitions were saved")
    shares = {name: statistics.median(samples[name]) / ms for name, ms in TARGETS_MS.items()}
    for name, share in shares.items():
        print(f"{name}: {share:.2f} of the target of {TARGETS_MS[name]:.0f} ms")
    print_verdict("checkpoint", "value", max(shares.values()), 1.0, samples)


if __name__ == "__main__":
    main()
