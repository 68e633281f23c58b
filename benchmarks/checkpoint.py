"""What a checkpoint costs: how long training stands still, and how much memory it takes.

Saves the same models again and again: PPO and DQN with small networks, and DQN with a large
replay buffer, first whole and then with what is new: ten thousand of a million transitions of
CartPole, a thousand of ten thousand of Breakout, where it is installed. There is no peer: nobody
else saves all of this; the bare library's `save()` (weights and hyperparameters only) is shown
beside it.
"""

import argparse
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.ids import is_installed
from apps.engine.checkpoints import saving, state
from apps.engine.checkpoints.buffer import SharedChunks
from apps.engine.models.building import build_model
from apps.engine.stepping.making import make_vec_env_for
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from benchmarks.report import print_samples, print_verdict

# Size of a large buffer, and how much of it is new at each later save.
LARGE = {"CartPole-v1": (1_000_000, 10_000), "ALE/Breakout-v5": (10_000, 1_000)}
TARGETS_MS = {"ppo": 50.0, "dqn": 50.0, "CartPole-v1, first": 2000.0}


class Saver:
    """Saves one model again and again, as training does."""

    def __init__(
        self,
        folder: Path,
        algorithm: str,
        environment: str = "CartPole-v1",
        **hyperparameters: int,
    ) -> None:
        self.spec = RunSpec.from_dict(
            {
                "algorithm": algorithm,
                "environment": environment,
                "total_timesteps": 1000,
                "hyperparameters": hyperparameters,
            }
        )
        self.model: Any = build_model(self.spec, make_vec_env_for(self.spec))
        self.model.learn(1000)
        self.directory = RunDirectory(folder).create(self.spec.as_dict(), {})
        self.chunks = SharedChunks()
        self.saves = 0

    def save_ms(self) -> float:
        self.saves += 1
        rank = saving.Rank(self.saves, True, False, 2)
        started_at = time.perf_counter()
        captured = state.capture(self.model, self.spec, {})
        saving.save(self.model, self.directory, captured, rank, self.chunks)
        return (time.perf_counter() - started_at) * 1000

    def fill(self, count: int) -> None:
        """Add so many transitions, those of the first thousand again and again."""
        buffer = self.model.replay_buffer
        rows = np.arange(buffer.pos, buffer.pos + count)
        for array in (buffer.observations, buffer.next_observations, buffer.rewards):
            array[rows] = array[rows % 1000]
        buffer.full = buffer.full or rows[-1] + 1 >= buffer.buffer_size
        buffer.pos = (rows[-1] + 1) % buffer.buffer_size
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
            for name, (size, new) in LARGE.items():
                if not is_installed(ENVIRONMENTS[name].family):
                    continue
                saver = Saver(
                    folder / str(number), "dqn", name, buffer_size=size, learning_starts=1000
                )
                saver.fill(size - 1000)
                before_mb = peak_mb()
                samples.setdefault(f"{name}, first", []).append(saver.save_ms())
                for _ in range(4):
                    saver.fill(new)
                    samples.setdefault(f"{name}, later", []).append(saver.save_ms())
                grown_mb = max(grown_mb, peak_mb() - before_mb)
                shutil.rmtree(saver.directory.path)
    print_samples("ms", samples)
    print(f"peak memory grew by {grown_mb:.0f} MB while large buffers were saved")
    shares = {name: statistics.median(samples[name]) / ms for name, ms in TARGETS_MS.items()}
    for name, share in shares.items():
        print(f"{name}: {share:.2f} of the target of {TARGETS_MS[name]:.0f} ms")
    print_verdict("checkpoint", "value", max(shares.values()), 1.0, samples)


if __name__ == "__main__":
    main()
