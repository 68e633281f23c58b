"""The lean loops beside the library's own: the same hyperparameters, seed and threads.

Alternates both in one process and prints the ratio of median processor times, ours by theirs.
Both end with the same policy, which is compared too. `--wide` trains in 32 native environments
with large batches, both sides in the same. What replays experience begins to learn after 100
steps, so that learning is what is timed. Last comes where the time of each side goes.
"""

import argparse
import statistics
import time
from importlib import import_module
from typing import Any

import torch
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecEnv

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.engine.models.arguments import constructor_arguments
from apps.engine.models.classes import ALGORITHM_CLASSES
from apps.engine.stepping.choosing import vectorized
from apps.spec.run import RunSpec
from benchmarks.report import Clock, interleaved, print_samples, print_verdict

TARGET, TARGET_REPLAY = 0.6, 0.85
LEAN = ("ppo", "a2c", "dqn", "td3", "ddpg", "sac")
WIDE: dict[str, Any] = {
    "n_envs": 32,
    "vectorization": "native",
    "hyperparameters": {"n_steps": 128, "batch_size": 1024, "n_epochs": 4},
}
EARLY: dict[str, Any] = {"hyperparameters": {"learning_starts": 100}}


def environments_of(spec: RunSpec, is_ours: bool) -> VecEnv:
    if is_ours or spec.vectorization == "native":
        return vectorized(spec)[0]
    # By an id the library makes it ready for pictures, which costs LunarLander its particles.
    no_pictures = {"render_mode": None}
    return make_vec_env(
        spec.environment, n_envs=spec.n_envs, seed=spec.seed, env_kwargs=no_pictures
    )


def made(kind: Any, spec: RunSpec) -> tuple[Any, VecEnv]:
    env = environments_of(spec, is_ours=kind in ALGORITHM_CLASSES.values())
    model = kind("MlpPolicy", env, seed=spec.seed, device="cpu", **constructor_arguments(spec))
    return model, env


def learn(kind: Any, spec: RunSpec) -> tuple[float, Any]:
    model, env = made(kind, spec)
    started_at = time.process_time()
    model.learn(spec.total_timesteps)
    took_s = time.process_time() - started_at
    env.close()
    return took_s, model


def profile(kind: Any, spec: RunSpec) -> str:
    """Return the shares of a training in words."""
    model, env = made(kind, spec)
    whole, stepping, updating = (Clock(time.process_time) for _ in range(3))
    env.step_wait = stepping.around(env.step_wait)  # type: ignore[method-assign]
    model.train = updating.around(model.train)
    whole.around(model.learn)(spec.total_timesteps)
    env.close()
    shares = {"environments": stepping.spent_s, "update": updating.spent_s}
    shares["rest of the rollout"] = whole.spent_s - sum(shares.values())
    each = 1e6 / spec.total_timesteps
    return ", ".join(
        f"{name} {spent_s / whole.spent_s:.0%} ({spent_s * each:.0f} us a step)"
        for name, spent_s in shares.items()
    )


def is_same(one: Any, other: Any) -> bool:
    ours, theirs = one.policy.state_dict(), other.policy.state_dict()
    return all(torch.equal(ours[name], theirs[name]) for name in theirs)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--timesteps", type=int, default=20_000)
    parser.add_argument("--algorithm", default="ppo", choices=LEAN)
    parser.add_argument("--environment", default="CartPole-v1")
    parser.add_argument("--wide", action="store_true", help="32 native environments")
    options = parser.parse_args()
    torch.set_num_threads(1)
    is_replay = ALGORITHMS[options.algorithm].has_replay_buffer
    spec = RunSpec.from_dict(
        {
            "algorithm": options.algorithm,
            "environment": options.environment,
            "preset": "high_score",
            "total_timesteps": options.timesteps,
            **(EARLY if is_replay else WIDE if options.wide else {}),
        }
    )
    module, _, name = ALGORITHMS[options.algorithm].class_path.partition(":")
    theirs, ours = getattr(import_module(module), name), ALGORITHM_CLASSES[options.algorithm]
    print("the same policy:", is_same(learn(ours, spec)[1], learn(theirs, spec)[1]))
    samples = interleaved(
        options.rounds, ours=lambda: learn(ours, spec)[0], theirs=lambda: learn(theirs, spec)[0]
    )
    print_samples("s", samples)
    speeds = {side: spec.total_timesteps / statistics.median(s) for side, s in samples.items()}
    print("steps/s of processor time:", {side: round(speed) for side, speed in speeds.items()})
    for side, kind in (("ours", ours), ("theirs", theirs)):
        print(f"{side}:", profile(kind, spec))
    ratio = statistics.median(samples["ours"]) / statistics.median(samples["theirs"])
    shape = "-wide" if options.wide else ""
    target = TARGET_REPLAY if is_replay else TARGET
    print_verdict(
        f"lean-{options.algorithm}-{spec.environment}{shape}", "ratio", ratio, target, samples
    )


if __name__ == "__main__":
    main()
