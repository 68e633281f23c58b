"""What exact resume costs training: checkpoints at the default interval, and the journal.

The share of time that training stands still for checkpoints is measured within `train()` itself.
The journal is put around CartPole, which does not need it and steps faster than any environment
that does, and training is timed with and without it, alternately.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from apps.engine.environments.journal import Journal
from apps.engine.environments.making import Env
from apps.engine.models.building import build_model
from apps.engine.stepping.making import make_vec_env_for
from apps.engine.training.callback import TrainingCallback
from apps.engine.training.training import train
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec
from benchmarks.report import interleaved, print_samples, print_verdict

TARGET_SHARE_PERCENT = 1.0
TARGET_JOURNAL_RATIO = 1.03
STEPS = {"ppo": 100_000, "dqn": 20_000}  # About twenty seconds each.


def spec_of(algorithm: str, total_timesteps: int) -> RunSpec:
    return RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": "CartPole-v1",
            "preset": "high_score",
            "total_timesteps": total_timesteps,
        }
    )


def checkpoint_share_percent(algorithm: str) -> float:
    """Train, and return the share of time in which training stood still for checkpoints."""
    spec = spec_of(algorithm, STEPS[algorithm])
    stalls_s: list[float] = []
    save = TrainingCallback.save

    def timed(self: TrainingCallback, *arguments: Any, **keywords: Any) -> None:
        started_at = time.perf_counter()
        save(self, *arguments, **keywords)
        stalls_s.append(time.perf_counter() - started_at)

    TrainingCallback.save = timed  # type: ignore[method-assign]
    try:
        with tempfile.TemporaryDirectory() as folder:
            directory = RunDirectory(Path(folder) / "run").create(spec.as_dict(), {})
            started_at = time.perf_counter()
            train(spec, directory)
            elapsed_s = time.perf_counter() - started_at
    finally:
        TrainingCallback.save = save  # type: ignore[method-assign]
    return 100 * sum(stalls_s) / elapsed_s


def training_s(around: Callable[[Env], Env]) -> float:
    spec = spec_of("ppo", 20_000)
    env = make_vec_env_for(spec, around)
    model = build_model(spec, env)
    started_at = time.perf_counter()
    model.learn(spec.total_timesteps)
    return time.perf_counter() - started_at


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    training_s(Journal)
    journal = interleaved(
        options.rounds,
        journal=lambda: training_s(Journal),
        without=lambda: training_s(lambda env: env),
    )
    print_samples("s", journal)
    ratio = statistics.median(journal["journal"]) / statistics.median(journal["without"])
    shares = interleaved(
        max(options.rounds // 2, 1),
        **{name: lambda name=name: checkpoint_share_percent(name) for name in STEPS},
    )
    print_samples("%", shares)
    worst = max(statistics.median(values) for values in shares.values())
    print(f"journal: ratio {ratio:.3f}, target {TARGET_JOURNAL_RATIO}")
    print(f"checkpoints: {worst:.2f} % of the time, target {TARGET_SHARE_PERCENT} %")
    value = max(worst / TARGET_SHARE_PERCENT, (ratio - 1) / (TARGET_JOURNAL_RATIO - 1))
    print_verdict("exactness", "value", value, 1.0, {**journal, **shares})


if __name__ == "__main__":
    main()
