"""How fast parallel environments are stepped: in process, in processes of their own, natively.

Random actions, wrappers and counting of episodes as in training; environment steps a second by the
clock, alternately. What an environment cannot be is left out.
"""

import argparse
import statistics
import time
from functools import partial

import numpy as np

from apps.catalogue.stepping import VECTORIZATIONS
from apps.engine.stepping.choosing import vectorized
from apps.errors import InvalidSpec
from apps.spec.run import RunSpec
from benchmarks.report import interleaved, print_samples, print_verdict

# The best of the others by the ordinary way.
TARGET = 1.0


def spec_of(options: argparse.Namespace, vectorization: str) -> RunSpec:
    return RunSpec.from_dict(
        {
            "environment": options.environment,
            "n_envs": options.n_envs,
            "vectorization": vectorization,
        }
    )


def can_be(options: argparse.Namespace, vectorization: str) -> bool:
    try:
        spec_of(options, vectorization)
    except InvalidSpec:
        return False
    return True


def speed(options: argparse.Namespace, vectorization: str) -> float:
    """Return environment steps a second."""
    env, choice = vectorized(spec_of(options, vectorization))
    assert choice.used == vectorization, choice.reason
    env.action_space.seed(0)
    drawn = [env.action_space.sample() for _ in range(64 * options.n_envs)]
    actions = np.array(drawn).reshape(64, options.n_envs, *(env.action_space.shape or ()))
    env.reset()
    began_s, steps = time.perf_counter(), 0
    while time.perf_counter() - began_s < options.seconds:
        for action in actions:
            env.step(action)
        steps += len(actions) * options.n_envs
    took_s = time.perf_counter() - began_s
    env.close()
    return steps / took_s


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--environment", default="CartPole-v1")
    parser.add_argument("--n-envs", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    names = [name for name in VECTORIZATIONS if name != "auto" and can_be(options, name)]
    samples = interleaved(
        options.rounds, **{name: partial(speed, options, name) for name in names}
    )
    print_samples("steps/s", samples)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    best = max(value for name, value in medians.items() if name != "dummy")
    label = f"stepping-{options.environment}-{options.n_envs}"
    print_verdict(label, "ratio", medians["dummy"] / best, TARGET, samples)


if __name__ == "__main__":
    main()
