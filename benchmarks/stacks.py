"""Other stacks with the same hyperparameters: one thread, a process for each.

Ours, the library's own class, its JAX port (ours with backend sbx), and for PPO a loop in a single
file as researchers write them (`single_file.py`). Each trains twice, the second time for longer:
the steps between by the seconds of processor time between leave out what is made, imported,
compiled or explored once. What is not installed is left out: `.venv/bin/pip install '.[sbx]'`.

With `--all-cores` each takes the threads that it takes alone on this machine, by the clock on the
wall: ours as trainers are started, the others as the library is.
"""

import argparse
import importlib.util
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module

import torch
from stable_baselines3.common.env_util import make_vec_env

from apps.catalogue.algorithms.backends import DEFAULT_BACKEND
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.engine.models.arguments import constructor_arguments
from apps.engine.models.building import build_model
from apps.engine.stepping.choosing import vectorized
from apps.engine.stepping.normalized import normalized
from apps.spec.run import RunSpec
from benchmarks import single_file
from benchmarks.report import interleaved, print_samples, print_verdict

# Steps a second by the library's: of ours, and of the JAX port where experience is replayed.
TARGET, TARGET_REPLAY = 1.0, 2.0


def ours(spec: RunSpec, threads: int | None, backend: str = DEFAULT_BACKEND) -> int:
    spec = RunSpec.from_dict(
        {
            "algorithm": spec.algorithm,
            "environment": spec.environment,
            "preset": "high_score",
            "total_timesteps": spec.total_timesteps,
            "backend": backend,
        }
    )
    env, _ = vectorized(spec)
    model = build_model(spec, env, threads).learn(spec.total_timesteps)
    env.close()
    return model.num_timesteps


def library(spec: RunSpec, threads: int | None) -> int:
    torch.set_num_threads(threads or torch.get_num_threads())
    module, _, name = ALGORITHMS[spec.algorithm].class_path.partition(":")
    env = normalized(make_vec_env(spec.environment, spec.n_envs, spec.seed), spec)
    model = getattr(import_module(module), name)(
        "MlpPolicy", env, seed=spec.seed, device="cpu", **constructor_arguments(spec)
    )
    model.learn(spec.total_timesteps)
    env.close()
    return int(model.num_timesteps)


def by_hand(spec: RunSpec, threads: int | None) -> int:
    torch.set_num_threads(threads or torch.get_num_threads())
    values = dict(spec.hyperparameters)
    names = ("n_steps", "batch_size", "n_epochs", "gamma", "gae_lambda", "ent_coef")
    settings = single_file.Settings(
        spec.environment,
        spec.total_timesteps,
        spec.n_envs,
        learning_rate=float(str(values["learning_rate"]).removeprefix("lin_")),
        clip_range=float(str(values["clip_range"]).removeprefix("lin_")),
        **{name: values[name] for name in names},
    )
    return single_file.train(settings, spec.seed)


STACKS: dict[str, tuple[str, Callable[[RunSpec, int | None], int]]] = {
    "ours": ("torch", ours),
    "library": ("torch", library),
    "single_file": ("torch", by_hand),
    "sbx": ("sbx", partial(ours, backend="sbx")),
}


def spec_of(options: argparse.Namespace, timesteps: int) -> RunSpec:
    return RunSpec.from_dict(
        {
            "algorithm": options.algorithm,
            "environment": options.environment,
            "preset": "high_score",
            "total_timesteps": timesteps,
        }
    )


def measure(options: argparse.Namespace) -> None:
    """Print the steps for each second; a first training allocates."""
    clock = time.perf_counter if options.all_cores else time.process_time
    threads = None if options.all_cores else 1
    train, timesteps = STACKS[options.one][1], options.timesteps
    taken, took_s = [0, 0, 0], [0.0, 0.0, 0.0]
    for place, steps in enumerate((2_000, timesteps, timesteps + options.more)):
        began_s = clock()
        taken[place] = train(spec_of(options, steps), threads)  # Whole rollouts.
        took_s[place] = clock() - began_s
    print((taken[2] - taken[1]) / (took_s[2] - took_s[1]))


def measure_apart(name: str, options: argparse.Namespace) -> float:
    command = [sys.executable, "-m", "benchmarks.stacks", "--one", name]
    command += ["--timesteps", str(options.timesteps), "--more", str(options.more)]
    command += ["--algorithm", options.algorithm, "--environment", options.environment]
    environment = dict(os.environ)
    if options.all_cores:
        command.append("--all-cores")
        if name in {"ours", "sbx"}:
            environment = {**trainer_defaults(), **environment, "OMP_WAIT_POLICY": "PASSIVE"}
    output = subprocess.run(
        command, check=True, capture_output=True, text=True, env=environment
    ).stdout
    return float(output.splitlines()[-1])


def trainer_defaults() -> dict[str, str]:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "rlgym.settings")
    from apps.jobs.trainers import DEFAULTS

    return DEFAULTS


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--timesteps", type=int, default=20_000)
    parser.add_argument("--more", type=int, default=40_000, help="of the second training")
    parser.add_argument("--algorithm", default="ppo", choices=tuple(ALGORITHMS))
    parser.add_argument("--environment", default="CartPole-v1")
    parser.add_argument("--all-cores", action="store_true", help="see above")
    parser.add_argument("--one", choices=tuple(STACKS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return measure(options)
    there = [name for name, (module, _) in STACKS.items() if importlib.util.find_spec(module)]
    if options.algorithm != "ppo" or spec_of(options, options.timesteps).normalize:
        there.remove("single_file")
    sides = {name: partial(measure_apart, name, options) for name in there}
    samples = interleaved(options.rounds, **sides)
    print_samples("steps/s", samples)
    medians = {name: statistics.median(values) for name, values in samples.items()}
    targets = {"ours": TARGET}
    if ALGORITHMS[options.algorithm].has_replay_buffer:
        targets["sbx"] = TARGET_REPLAY
    misses = []
    for name, speed in medians.items():
        ratio = speed / medians["library"]
        print(f"{name} by the library: {ratio:.2f} (target {targets.get(name, 'none')})")
        if name in targets:
            misses.append(targets[name] / ratio)
    label = f"stacks-{options.algorithm}-{options.environment}"
    label += "-all-cores" if options.all_cores else ""
    return print_verdict(label, "value", max(misses), 1.0, samples)


if __name__ == "__main__":
    main()
