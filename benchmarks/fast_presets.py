"""Search the Fast presets: which shape of training is solved first, and as reliably.

    python -m benchmarks.fast_presets --algorithm ppo --environment CartPole-v1

For each task of `fast_spaces.py`, the tuned setting (High score) is measured first. Candidates
drawn from the declared space, and the Fast preset of before, then meet in rounds of successive
halving: each round gives those that are left more seeds, and the slower half goes (Karnin et al.,
ICML 2013; Jamieson and Talwalkar, AISTATS 2016). The finalists and the tuned setting train over
fresh seeds, alternately: the finalists to the last step, to see whether they stay good, the tuned
setting until it is solved. Both are then evaluated. The table goes into
`apps/catalogue/presets/fast.json`, from which the Fast presets are read.

A training is solved when the mean return of its last episodes reaches what the environment's card
says. Candidates are ranked by CPU seconds, which do not depend on who else uses the machine.
"""

import argparse
import math
import platform
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import orjson
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.vec_env import VecNormalize, sync_envs_normalization

from apps.analysis.seeds import iqm, iqm_interval, penalized_mean
from apps.catalogue.presets.presets import Preset, preset_for
from apps.catalogue.presets.searched import SEARCH_FILE, Estimate, Finalist, Search, read_searches
from apps.engine.models.building import build_model
from apps.engine.models.devices import leave_compiler_out
from apps.engine.stepping.choosing import vectorized
from apps.engine.stepping.making import make_vec_env_for
from apps.rundir import provenance
from apps.spec.run import RunSpec
from benchmarks.fast_spaces import TASKS, Task, candidates_of
from benchmarks.report import print_verdict

Setting = dict[str, Any]

TARGET = 0.35
# Seeds that each round of halving adds, each of its own.
ROUND_SEEDS = (3, 5)
FINALISTS = 2
FIRST_SEED, FIRST_FINAL_SEED, EVALUATION_SEED = 1, 1001, 100_000
EVALUATION_EPISODES = 20
# A candidate that took this many times the tuned setting's CPU seconds has lost, and counts twice
# as much.
PATIENCE = 0.75
PENALTY = 2.0


@dataclass(frozen=True, slots=True)
class Trial:
    """One training; inf for what it never came to.

    Attributes:
        steps: Environment steps until it was solved.
        seconds: Seconds until then.
        cpu_s: CPU seconds until then.
        spent_cpu_s: CPU seconds of all of it, solved or not.
        evaluation: Mean return of its policy where it ended.
    """

    steps: float
    seconds: float
    cpu_s: float
    spent_cpu_s: float
    evaluation: float = -math.inf


class _Watch(BaseCallback):
    """Notes when a training is solved."""

    def __init__(self, task: Task, limit_s: float, goes_on: bool) -> None:
        super().__init__()
        self.solved = (math.inf, math.inf, math.inf)
        self._task, self._limit_s, self._goes_on = task, limit_s, goes_on
        self._returns: deque[float] = deque(maxlen=task.window)
        self._began = time.perf_counter(), time.process_time()

    def elapsed(self) -> tuple[float, float]:
        """Return the seconds and the CPU seconds since this was made."""
        return time.perf_counter() - self._began[0], time.process_time() - self._began[1]

    @property
    def is_solved(self) -> bool:
        return math.isfinite(self.solved[0])

    def _on_step(self) -> bool:
        if not self.is_solved and self.locals["dones"].any():
            ended = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
            self._returns.extend(ended)
            is_full = len(self._returns) == self._task.window
            if is_full and np.mean(self._returns) >= self._task.solved_return:
                self.solved = (self.num_timesteps, *self.elapsed())
        if self._goes_on:
            return True
        return not self.is_solved and self.elapsed()[1] < self._limit_s


def run_trial(
    task: Task, setting: Setting, seed: int, limit_s: float = math.inf, goes_on: bool = False
) -> Trial:
    """Train once, from nothing.

    Args:
        task: What is to be solved.
        setting: Fields of a spec.
        seed: Seed of everything.
        limit_s: CPU seconds after which it is given up, unevaluated.
        goes_on: Train to the last step, not only until it is solved.
    """
    watch = _Watch(task, limit_s, goes_on)
    spec = spec_of(task, setting, seed)
    env, _ = vectorized(spec)
    model = build_model(spec, env, threads=1)
    model.set_logger(Logger(folder=None, output_formats=[]))
    model.learn(spec.total_timesteps, callback=watch)
    spent_cpu_s = watch.elapsed()[1]
    env.close()
    trial = Trial(*watch.solved, spent_cpu_s)
    return replace(trial, evaluation=evaluate(model, spec)) if math.isinf(limit_s) else trial


def spec_of(task: Task, setting: Setting, seed: int) -> RunSpec:
    named = {"algorithm": task.algorithm, "environment": task.environment, "device": "cpu"}
    return RunSpec.from_dict({**named, "total_timesteps": task.steps, "seed": seed, **setting})


def evaluate(model: BaseAlgorithm, spec: RunSpec) -> float:
    """Return the mean return of a deterministic policy over episodes that nobody trained with."""
    env = make_vec_env_for(replace(spec, n_envs=EVALUATION_EPISODES, seed=EVALUATION_SEED))
    if isinstance(env, VecNormalize):
        trained = model.get_env()
        assert trained is not None
        sync_envs_normalization(trained, env)
        env.training = env.norm_reward = False
    mean, _ = evaluate_policy(model, env, EVALUATION_EPISODES)
    env.close()
    assert isinstance(mean, float)
    return mean


def search(task: Task) -> Search:
    """Search one Fast preset and return what was found."""
    tuned = _setting_of(preset_for(task.algorithm, task.environment, "high_score"))
    before = _setting_of(preset_for(task.algorithm, task.environment, "fast"))
    drawn = [one for one in candidates_of(task) if one not in (before, tuned)]
    candidates = drawn if before == tuned else [before, *drawn]
    yardstick = [run_trial(task, tuned, FIRST_SEED + seed) for seed in range(ROUND_SEEDS[0])]
    limit_s = PATIENCE * max(trial.spent_cpu_s for trial in yardstick)
    print(f"tuned: {[trial.cpu_s for trial in yardstick]}", flush=True)
    tuned_result, *results = final(task, tuned, halve(task, candidates, limit_s))
    return Search(
        task.algorithm,
        task.environment,
        task.solved_return,
        task.window,
        task.steps,
        len(candidates),
        {name: list(values) for name, values in task.space.items()},
        {**_machine(), "packages": provenance.package_versions()},
        tuned_result,
        tuple(results),
    )


def halve(task: Task, candidates: Sequence[Setting], limit_s: float) -> list[Setting]:
    """Return the finalists: in each round the slower half goes, by penalised mean of CPU time.

    Args:
        task: What is to be solved.
        candidates: Where it begins.
        limit_s: CPU seconds after which a training is given up.
    """
    left = list(range(len(candidates)))
    costs: dict[int, list[float]] = {index: [] for index in left}
    seed = FIRST_SEED
    for more in ROUND_SEEDS:
        for index in left:
            trials = (run_trial(task, candidates[index], seed + n, limit_s) for n in range(more))
            costs[index] += [trial.cpu_s for trial in trials]
        seed += more
        means = {index: penalized_mean(costs[index], PENALTY * limit_s) for index in left}
        left.sort(key=means.__getitem__)
        print(
            f"{len(costs[left[0]])} seeds:", *(f"{means[index]:.2f}" for index in left), flush=True
        )
        left = left[: max(FINALISTS, len(left) // 2)]
        print(*(candidates[index] for index in left[:FINALISTS]), sep="\n", flush=True)
    return [candidates[index] for index in left[:FINALISTS]]


def final(task: Task, tuned: Setting, finalists: Sequence[Setting]) -> list[Finalist]:
    """Train all over the seeds of the final, alternately; return the tuned setting's first."""
    settings = [tuned, *finalists]
    trials: list[list[Trial]] = [[] for _ in settings]
    for seed in range(FIRST_FINAL_SEED, FIRST_FINAL_SEED + task.final_seeds):
        for own, setting in zip(trials, settings, strict=True):
            own.append(run_trial(task, setting, seed, goes_on=setting is not tuned))
    return [
        Finalist(
            **setting,
            seeds=len(own),
            solved=sum(math.isfinite(trial.steps) for trial in own),
            cpu_s=_estimate([trial.cpu_s for trial in own]),
            seconds=_estimate([trial.seconds for trial in own]),
            steps=_estimate([trial.steps for trial in own]),
            evaluation=_estimate([trial.evaluation for trial in own]),
        )
        for own, setting in zip(trials, settings, strict=True)
    ]


def _estimate(values: Sequence[float]) -> Estimate:
    figures = (iqm(values), *iqm_interval(values))
    return Estimate(*(round(each, 4) if math.isfinite(each) else None for each in figures))


def _setting_of(preset: Preset) -> Setting:
    return {
        "n_envs": preset.n_envs,
        "hyperparameters": preset.hyperparameters,
        "normalize": preset.normalize,
        "vectorization": preset.vectorization,
    }


def _machine() -> dict[str, Any]:
    host = provenance.host()
    system = f"{platform.system()} {platform.machine()}"
    return {"platform": system, "cpu_count": host["cpu_count"], "python": host["python"]}


def keep(found: Search) -> None:
    """Write a search into the file, in place of an earlier one, whose finalists it remembers."""
    searches, key = read_searches(), (found.algorithm, found.environment)
    if before := searches.get(key):
        rejected = [each for each in before.finalists if each is not before.chosen]
        found = replace(found, earlier=(*before.earlier, *rejected))
    searches[key] = found
    data = [asdict(searches[key]) for key in sorted(searches)]
    style = orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE
    SEARCH_FILE.write_bytes(orjson.dumps(data, option=style))


def print_search(found: Search) -> None:
    for name, each in [("tuned", found.tuned), *(("", each) for each in found.finalists)]:
        mark = "chosen" if each is found.chosen else name
        print(
            f"{mark:<7} {each.solved}/{each.seeds} solved, {each.cpu_s.iqm} CPU s, "
            f"{each.seconds.iqm} s, {each.steps.iqm} steps, evaluation {each.evaluation.iqm}: "
            f"{each.n_envs} environments ({each.vectorization}), {each.hyperparameters}, "
            f"normalize {each.normalize}"
        )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--algorithm", default="ppo")
    parser.add_argument("--environment", default="CartPole-v1")
    options = parser.parse_args()
    named = {(task.algorithm, task.environment): task for task in TASKS}
    task = named.get((options.algorithm, options.environment))
    if task is None:
        parser.error(f"no such task; there are: {', '.join(map(' '.join, named))}")
    leave_compiler_out()
    began = time.process_time()
    # What the first training of a process allocates and imports is nobody's own.
    run_trial(task, candidates_of(task)[0], 0, limit_s=1.0)
    found = search(task)
    keep(found)
    print_search(found)
    print(f"{time.process_time() - began:.0f} CPU seconds in all")
    ratio = (found.chosen.cpu_s.iqm or math.inf) / (found.tuned.cpu_s.iqm or math.inf)
    name = f"fast-{task.algorithm}-{task.environment}"
    print_verdict(name, "ratio", ratio, TARGET, asdict(found.chosen))


if __name__ == "__main__":
    main()
