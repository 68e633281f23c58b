"""Shift the clock of every process that has this folder on its path, when a test says so.

The wall clock alone is shifted, in the process: the monotonic clock goes on, as when somebody sets
the time of a machine. The file `clock` in the data directory holds the shift in seconds.
"""

import os
import threading
import time
from pathlib import Path

import time_machine


def follow(path: Path) -> None:
    traveller = time_machine.travel(time.time(), tick=True).start()
    shift_s = 0.0
    while True:
        wanted_s = float(path.read_text()) if path.exists() else 0.0
        traveller.shift(wanted_s - shift_s)
        shift_s = wanted_s
        threading.Event().wait(0.05)


threading.Thread(
    target=follow, args=(Path(os.environ["RLGYM_HOME"]) / "clock",), daemon=True
).start()
