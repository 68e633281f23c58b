"""Environments that misbehave, one way each: `tests.misbehaving:Hangs-v0`."""

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


gymnasium.register("Behaving-v0", Behaving)
gymnasium.register("Hangs-v0", Hangs)
