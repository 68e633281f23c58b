"""Probe an environment with random actions: what comes of it, how fast, and whether twice alike.

Runs the environment's code, so it belongs in a trainer process; loads no torch.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import psutil
from gymnasium import spaces
from numpy.typing import NDArray

from apps.engine.environments.journal import same_observation
from apps.engine.environments.making import Env
from apps.engine.environments.random_steps import random_action
from apps.protocol.preflight import PICTURE, Probe, Scale

PROBE_S = 2.0
MAX_PROBE_STEPS = 5000
REPEAT_S = 1.0
MAX_REPEAT_STEPS = 100
MAX_SCALES = 64
MEMORY_INTERVAL_S = 0.05
# A probe must not do what it warns of: it stops where memory has grown by so much.
MAX_GROWTH_BYTES = 512 * 1024**2
MIN_LEAK_BYTES = 8 * 1024**2  # Less may be an allocator that keeps what it was given back.

Numbers = NDArray[np.float64]


class _Running:
    """Least, greatest, mean and spread of rows of numbers, kept without keeping the rows."""

    def __init__(self) -> None:
        self._count = 0

    def add(self, row: Numbers) -> None:
        if self._count == 0:
            self._sum, self._squares = np.zeros_like(row), np.zeros_like(row)
            self._low, self._high = row.copy(), row.copy()
        self._count += 1
        self._sum += row
        self._squares += row * row
        np.minimum(self._low, row, out=self._low)
        np.maximum(self._high, row, out=self._high)

    def scales(self, names: Callable[[int], str]) -> tuple[Scale, ...]:
        if self._count == 0:
            return ()
        mean = self._sum / self._count
        std = np.sqrt(np.maximum(self._squares / self._count - mean * mean, 0.0))
        rows = zip(self._low, self._high, mean, std, strict=True)
        return tuple(
            Scale(names(index), *map(float, row))
            for index, row in enumerate(islice(rows, MAX_SCALES))
        )


@dataclass(slots=True)
class _Seen:
    """What a probe has seen so far."""

    steps: int = 0
    elapsed_s: float = 0.0
    reset_s: float = 0.0
    not_finite: str = ""
    rewards: _Running = field(default_factory=_Running)
    observations: _Running = field(default_factory=_Running)
    lengths: list[int] = field(default_factory=list)
    returns: list[float] = field(default_factory=list)
    memory: list[tuple[int, int]] = field(default_factory=list)


def probe(env: Env, seed: int) -> Probe:
    """Take random actions for at most `PROBE_S` seconds, and then some of them again.

    Args:
        env: The environment as the learner sees it, wrappers included.
        seed: Seed of its reset and of the actions.
    """
    seen = _Seen()
    _walk(env, seed, seen)
    difference = "" if seen.not_finite else _difference(env, seed)
    ended = len(seen.lengths)
    names = _names(env.observation_space)
    return Probe(
        steps=seen.steps,
        steps_per_s=seen.steps / max(seen.elapsed_s, 1e-9),
        reset_s=seen.reset_s,
        reward=next(iter(seen.rewards.scales(lambda _: "reward")), None),
        observation=seen.observations.scales(lambda index: names[index]),
        episodes=ended,
        mean_length=sum(seen.lengths) / ended if ended else None,
        mean_return=sum(seen.returns) / ended if ended else None,
        not_finite=seen.not_finite,
        difference=difference,
        leak_bytes_per_step=leak(seen.memory),
    )


def _walk(env: Env, seed: int, seen: _Seen) -> None:
    process = psutil.Process()
    env.action_space.seed(seed)
    started = looked_at = time.perf_counter()
    observation, _ = env.reset(seed=seed)
    seen.reset_s = seen.elapsed_s = time.perf_counter() - started
    _note(env.observation_space, observation, 0.0, seen)
    length, episode_return = 0, 0.0
    while not _is_enough(seen):
        before = time.perf_counter()
        observation, reward, is_terminated, is_truncated, _ = env.step(random_action(env))
        is_over = is_terminated or is_truncated
        if is_over:
            env.reset()
        now = time.perf_counter()
        seen.elapsed_s += now - before
        seen.steps += 1
        length, episode_return = length + 1, episode_return + float(reward)
        _note(env.observation_space, observation, float(reward), seen)
        if is_over:
            seen.lengths.append(length)
            seen.returns.append(episode_return)
            length, episode_return = 0, 0.0
        if now - looked_at > MEMORY_INTERVAL_S:
            looked_at = now
            seen.memory.append((seen.steps, process.memory_info().rss))


def _is_enough(seen: _Seen) -> bool:
    has_grown = bool(seen.memory) and seen.memory[-1][1] - seen.memory[0][1] > MAX_GROWTH_BYTES
    is_late = seen.elapsed_s > PROBE_S and seen.steps > 0
    return is_late or seen.steps >= MAX_PROBE_STEPS or bool(seen.not_finite) or has_grown


def _note(space: spaces.Space[Any], observation: Any, reward: float, seen: _Seen) -> None:
    numbers = _numbers(space, observation)
    at = f"step {seen.steps}" if seen.steps else "the first reset"
    if not np.isfinite(reward):
        seen.not_finite = f"the reward of {at} was {reward}"
    elif not np.isfinite(numbers).all():
        index = int(np.flatnonzero(~np.isfinite(numbers))[0])
        seen.not_finite = f"number {index} of the observation of {at} was {numbers[index]}"
    else:
        seen.observations.add(numbers)
        if seen.steps:
            seen.rewards.add(np.array([reward]))


def _numbers(space: spaces.Space[Any], observation: Any) -> Numbers:
    """Return the numbers of an observation whose size matters, of a picture least and greatest.

    Policies read whole numbers of a discrete space as one of many: their size means nothing.
    """
    if isinstance(space, spaces.Dict):
        return np.concatenate([_numbers(part, observation[name]) for name, part in space.items()])
    if not isinstance(space, spaces.Box):
        return np.zeros(0)
    array = np.asarray(observation, dtype=np.float64)
    return np.array([array.min(), array.max()]) if array.ndim > 1 else array.reshape(-1)


def _names(space: spaces.Space[Any]) -> list[str]:
    """Return a name for each of the numbers that `_numbers` gives."""
    if isinstance(space, spaces.Dict):
        return [f"{name} {inner}" for name, part in space.items() for inner in _names(part)]
    if not isinstance(space, spaces.Box):
        return []
    return [*PICTURE] if len(space.shape) > 1 else [str(index) for index in range(space.shape[0])]


def _difference(env: Env, seed: int) -> str:
    """Say where the same seed and the same actions give something else the second time."""
    first = list(_replay(env, seed))
    for index, (one, other) in enumerate(zip(first, _replay(env, seed), strict=False)):
        place = f"step {index}" if index else "the reset"
        if not same_observation(one[0], other[0]):
            return f"the observation of {place}"
        if one[1] != other[1]:
            return f"the reward of {place}"
    return ""


def _replay(env: Env, seed: int) -> Iterator[tuple[Any, float]]:
    """Yield observation and reward of a reset with a seed and of random steps after it."""
    deadline = time.perf_counter() + REPEAT_S
    env.action_space.seed(seed)
    observation, _ = env.reset(seed=seed)
    yield _copy(observation), 0.0
    for _ in range(MAX_REPEAT_STEPS):
        observation, reward, is_terminated, is_truncated, _ = env.step(random_action(env))
        yield _copy(observation), float(reward)
        if is_terminated or is_truncated or time.perf_counter() > deadline:
            return


def _copy(observation: Any) -> Any:
    if isinstance(observation, Mapping):
        return {name: _copy(part) for name, part in observation.items()}
    return np.array(observation)


def leak(memory: list[tuple[int, int]]) -> float:
    """Return by how many bytes memory grew with each step, 0 when it did not go on growing.

    Args:
        memory: Steps taken and bytes of memory, in the order they were looked at.
    """
    later = memory[len(memory) // 3 :]  # The first steps fill caches.
    if len(later) < 4 or later[-1][1] - later[0][1] < MIN_LEAK_BYTES:
        return 0.0
    halves = later[len(later) // 2][1] - later[0][1], later[-1][1] - later[len(later) // 2][1]
    if min(halves) < MIN_LEAK_BYTES / 4:
        return 0.0
    return (later[-1][1] - later[0][1]) / max(later[-1][0] - later[0][0], 1)
