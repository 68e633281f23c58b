"""Environments in processes of their own, which step at the same time.

They are the library's SubprocVecEnv, made to give bit for bit what the same environments give in
one process, to tell their state through the pipe, and to end however the trainer ends: they are in
its process group, and the end of a pipe ends the process behind it.
"""

import multiprocessing
import random
import signal
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import wait
from typing import Any, NoReturn, SupportsFloat

import gymnasium
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import SubprocVecEnv

from apps.engine.environments.pickles import CannotRestore
from apps.engine.stepping.states import capture_one, restore_one
from apps.errors import EngineError

# Imported once, in the process that all others are forked from: 2 s and 200 MB in each otherwise.
PRELOADED = ["apps.engine.models.building", "apps.engine.stepping.subprocesses"]
# What a learner or the log reads of an info.
READ_INFOS = frozenset({"episode", "is_success", "TimeLimit.truncated", "terminal_observation"})
CLOSE_LIMIT_S = 5.0
ENDING_LIMIT_S = 1.0
MAX_NUMPY_SEED = 2**32


class ProcessEnded(EngineError):
    """The process of an environment ended, or could not begin; the message says which."""


def _read_of(info: dict[str, Any]) -> dict[str, Any]:
    return {name: info[name] for name in READ_INFOS & info.keys()}


def _has_why(one: dict[str, Any]) -> bool:
    return bool(one["environment"].get("why"))


class OwnProcess(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Outermost around an environment in a process of its own: says its state, and takes one."""

    def __init__(self, env: gymnasium.Env[Any, Any]) -> None:
        super().__init__(env)
        # The group is asked to end, and the trainer wants the state first: it ends this process.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Reset, and seed what is this process's with what the environment is seeded with."""
        if seed is not None:
            random.seed(seed)
            np.random.seed(seed % MAX_NUMPY_SEED)  # noqa: NPY002 - what environments may draw from
        observation, info = self.env.reset(seed=seed, options=options)
        return observation, _read_of(info)

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step; what an info holds and nobody reads may not fit through a pipe."""
        *result, info = self.env.step(action)
        return *result, _read_of(info)

    def capture_state(self) -> dict[str, Any]:
        """Return the state of the environment and of the process's random streams."""
        return {
            "environment": capture_one(self.env),
            "python": random.getstate(),
            "numpy": np.random.get_state(),  # noqa: NPY002
        }

    def restore_state(self, state: dict[str, Any]) -> str:
        """Put a state back; say why it cannot be, empty when it is done."""
        try:
            self.env = restore_one(self.env, state["environment"])
        except (CannotRestore, AttributeError, TypeError, ValueError) as error:
            return str(error)
        random.setstate(state["python"])
        np.random.set_state(state["numpy"])  # noqa: NPY002
        return ""


class Processes(SubprocVecEnv):
    """One process for each environment."""

    vectorization = "subprocess"

    def __init__(self, env_fns: list[Callable[[], gymnasium.Env[Any, Any]]]) -> None:
        methods = multiprocessing.get_all_start_methods()
        method = "forkserver" if "forkserver" in methods else "spawn"
        multiprocessing.get_context(method).set_forkserver_preload(PRELOADED)
        try:
            super().__init__(env_fns, start_method=method)
        except (EOFError, OSError) as error:
            self.close()
            raise ProcessEnded(
                "an environment could not be made in a process of its own; what it said is in "
                "train.log"
            ) from error

    def step_async(self, actions: Any) -> None:
        """Have all processes begin a step."""
        try:
            super().step_async(actions)
        except OSError as error:
            self._refuse(error)

    def step_wait(self) -> Any:
        """Wait for the step; numbers have the types that they have in one process."""
        try:
            observations, rewards, dones, infos = super().step_wait()
        except (EOFError, OSError) as error:
            self._refuse(error)
        return self._typed(observations), rewards.astype(np.float32), dones, list(infos)

    def reset(self) -> Any:
        """Begin all episodes anew."""
        try:
            return self._typed(super().reset())
        except (EOFError, OSError) as error:
            self._refuse(error)

    def _typed(self, observations: Any) -> Any:
        space = self.observation_space
        if isinstance(space, spaces.Dict):
            return {name: seen.astype(space[name].dtype) for name, seen in observations.items()}
        return observations.astype(space.dtype)

    def _refuse(self, error: Exception) -> NoReturn:
        wait([process.sentinel for process in self.processes], ENDING_LIMIT_S)
        codes = {place: process.exitcode for place, process in enumerate(self.processes)}
        ended = [f"{place} (code {code})" for place, code in codes.items() if code is not None]
        raise ProcessEnded(
            f"the process of environment {', '.join(ended) or 'unknown'} ended; what it said last "
            "is in train.log"
        ) from error

    def state(self) -> list[dict[str, Any]]:
        """Return the state of each environment."""
        return self.env_method("capture_state")

    def why_not_pickled(self, state: list[dict[str, Any]]) -> str:
        """Return why the first of them was not, empty where nobody would expect that."""
        return next((one["environment"]["why"] for one in state if _has_why(one)), "")

    def restore(self, state: list[dict[str, Any]]) -> None:
        """Bring each environment to a captured state, all at the same time.

        Raises:
            CannotRestore: One of them cannot be brought there, or there were others.
        """
        if len(state) != self.num_envs:
            raise CannotRestore("the number of environments is another now")
        for remote, one in zip(self.remotes, state, strict=True):
            remote.send(("env_method", ("restore_state", (one,), {})))
        if wrong := [words for remote in self.remotes if (words := remote.recv())]:
            raise CannotRestore(wrong[0])

    def close(self) -> None:
        """End all processes; one that hangs is forced."""
        if self.closed:
            return
        self.closed = True
        for remote in self.remotes:
            with suppress(OSError):
                remote.send(("close", None))
        for process in self.processes:
            process.join(CLOSE_LIMIT_S)
            process.kill()
            process.join()
        for remote in self.remotes:
            remote.close()
