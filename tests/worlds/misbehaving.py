"""Environments that misbehave, one way each: `tests.worlds.misbehaving:Hangs-v0`."""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import psutil
from gymnasium import spaces


def is_gone(pid_file: Path) -> bool:
    """Whether the process that an environment started has ended, or does so within seconds."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if psutil.Process(int(pid_file.read_text())).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False


class Behaving(gymnasium.Env[Any, Any]):
    """Ends each episode after ten steps; nothing is wrong with it."""

    observation_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
    action_space = spaces.Discrete(2)
    length = 10

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._steps = 0
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._steps += 1
        return self._observe(), 1.0, self._steps >= self.length, False, {}

    def _observe(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)


class Hangs(Behaving):
    """Starts a process of its own, and never comes back from where it is told to hang."""

    def __init__(self, pid_file: str, hangs_in: str = "") -> None:
        self._pid_file = Path(pid_file)
        self._hangs_in = hangs_in
        if not hangs_in:
            self._start_process()
        self._hang("constructor")

    def _start_process(self) -> None:
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        self._pid_file.write_text(str(child.pid))

    def _hang(self, place: str) -> None:
        if self._hangs_in == place:
            self._start_process()
            while True:
                pass

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        self._hang("reset")
        return super().reset(**options)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._hang("step")
        return super().step(action)


class ReturnsNaN(Behaving):
    """Shows something that is not a number from its third step on."""

    def _observe(self) -> Any:
        observation = super()._observe()
        observation[1] = np.nan if self._steps >= 3 else observation[1]
        return observation


class NeverEnds(Behaving):
    """Has no end and no limit, and numbers of most uneven size."""

    observation_space = spaces.Box(-1e6, 1e6, (2,), np.float32)
    length = 10**9

    def _observe(self) -> Any:
        return super()._observe() * np.array([1.0, 1e5], np.float32)


class Forgets(Behaving):
    """Draws from a generator that no seed reaches."""

    def _observe(self) -> Any:
        return np.random.default_rng().uniform(-1, 1, 2).astype(np.float32)


class Leaks(Behaving):
    """Keeps 50 kB of each step."""

    kept: list[bytes] = []

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.kept.append(b"x" * 50_000)
        return super().step(action)


class Raises(Behaving):
    """Raises when it is reset."""

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        raise RuntimeError("the simulator fell over")


gymnasium.register("Behaving-v0", Behaving)
gymnasium.register("ReturnsNaN-v0", ReturnsNaN)
gymnasium.register("NeverEnds-v0", NeverEnds)
gymnasium.register("Forgets-v0", Forgets)
gymnasium.register("Leaks-v0", Leaks)
gymnasium.register("Raises-v0", Raises)
gymnasium.register("Hangs-v0", Hangs)
