"""What this machine has to run with: cores and memory, those of the container where there is one.

No library of learning is imported: workers ask as well as trainers.
"""

import math
import os
from pathlib import Path

import psutil

CGROUP = Path("/sys/fs/cgroup")
# Interpreter, libraries and a small network of a trainer: 310 to 345 MB resident, of which 100 MB
# are the libraries' files, which trainers share.
PROCESS_BYTES = 350 << 20


def cores() -> int:
    """Return how many cores this process may use, at least 1.

    Not those of the machine: a container is often given a few of many.
    """
    # Only Linux says which cores a process may run on.
    affinity = getattr(os, "sched_getaffinity", None)
    allowed = len(affinity(0)) if affinity else os.cpu_count() or 1
    quota, _, period = _text_in(CGROUP / "cpu.max").partition(" ")
    if quota.isdecimal() and period.isdecimal():
        allowed = min(allowed, math.ceil(int(quota) / int(period)))
    return max(allowed, 1)


def memory_bytes() -> tuple[int, int]:
    """Return the free and the total bytes of memory."""
    machine = psutil.virtual_memory()
    limit, used = _text_in(CGROUP / "memory.max"), _text_in(CGROUP / "memory.current")
    if not limit.isdecimal() or not used.isdecimal() or int(limit) >= machine.total:
        return machine.available, machine.total
    room = int(limit) - int(used) + _cached_bytes(CGROUP / "memory.stat")
    return min(machine.available, max(room, 0)), int(limit)


def resident_bytes(pid: int) -> int:
    """Return the bytes of memory that a process takes; 0 when it is gone or somebody else's."""
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def _text_in(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""


def _cached_bytes(file: Path) -> int:
    """Return the bytes of files in memory that the kernel gives up when somebody needs room."""
    lines = _text_in(file).splitlines()
    found = [line.split()[1] for line in lines if line.startswith("inactive_file ")]
    return int(found[0]) if found else 0
