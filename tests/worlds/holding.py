"""An environment that holds what cannot be pickled; needs nothing but Gymnasium."""

import multiprocessing
import socket
import sqlite3
import threading
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

HELD: dict[str, Any] = {
    "a lock": threading.Lock,
    "a thread": lambda: threading.Thread(target=print),
    "a socket": lambda: socket.socket(),
    "a generator": lambda: (each for each in "abc"),
    "a database": lambda: sqlite3.connect(":memory:"),
    "an open file": lambda: Path("/dev/null").open("w"),  # noqa: SIM115 - held
    "a lock of processes": lambda: multiprocessing.get_context("spawn").Lock(),
}
ERRORS: dict[str, type[BaseException]] = {
    each.__name__: each
    for each in (
        TypeError,
        NotImplementedError,
        RuntimeError,
        RecursionError,
        AttributeError,
        OSError,
        AssertionError,
        KeyError,
        ZeroDivisionError,
        SystemExit,
    )
}


class Holds(gymnasium.Env[Any, Any]):
    """Ten steps; holds something, or raises something when it is asked for its state.

    From its step `late` on, counted over all episodes, if that is given.
    """

    observation_space = spaces.Box(-2.0, 2.0, (2,), np.float32)
    action_space = spaces.Discrete(2)

    def __init__(self, what: str = "", late: int = 0) -> None:
        self.what, self.late, self.total, self.held = what, late, 0, None
        self.hold()

    def hold(self) -> None:
        if self.total >= self.late and self.held is None:
            self.held = HELD[self.what]() if self.what in HELD else self.what

    def __getstate__(self) -> dict[str, Any]:
        if self.held in ERRORS:
            raise ERRORS[self.held]("on purpose")
        return {"__dict__": self.__dict__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state["__dict__"])
        if self.held == "not back":
            raise ZeroDivisionError("not here")

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.n = 0
        return self.look(), {}

    def look(self) -> Any:
        return self.np_random.uniform(-1, 1, 2).astype(np.float32)

    def step(self, action: Any) -> Any:
        self.n, self.total = self.n + 1, self.total + 1
        self.hold()
        # What an info holds, nobody has to keep.
        return self.look(), 1.0, self.n == 10, False, {"lock": threading.Lock()}


gymnasium.register("Holds-v0", Holds)
