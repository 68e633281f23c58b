"""What the GPU has of memory: the one that CUDA shows a trainer first.

The driver's own library is asked: torch would take some hundred megabytes of the GPU for a look.
"""

import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import pynvml

# CUDA itself, its kernels and a network of a trainer. Reckoned, not measured.
PROCESS_BYTES = 1 << 30
# Of the observations of a minibatch as floats: what its layers put out, and their gradients.
BATCH_COPIES = 4


@dataclass(frozen=True, slots=True)
class GpuMemory:
    """What there is of a GPU's memory.

    Attributes:
        free_bytes: What nobody takes.
        total_bytes: All of it.
        taken_bytes: What processes take, by their number; of those in other containers the driver
            may tell another number, or nothing.
    """

    free_bytes: int
    total_bytes: int
    taken_bytes: Mapping[int, int]


def look() -> GpuMemory | None:
    """Look at the GPU once; None where there is none that a trainer could use."""
    if not _torch_has_cuda():
        return None
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            handle = _first_visible()
            if handle is not None:
                memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
                processes = pynvml.nvmlDeviceGetComputeRunningProcesses(handle)
                taken = {one.pid: int(one.usedGpuMemory or 0) for one in processes}
                return GpuMemory(int(memory.free), int(memory.total), taken)
        finally:
            pynvml.nvmlShutdown()
    return None


def _torch_has_cuda() -> bool:
    """Whether torch was built for a GPU, told without importing it."""
    return not metadata.version("torch").endswith("+cpu")


def _first_visible() -> Any:
    """Return the driver's handle of the first GPU that CUDA may use, None where there is none.

    Trainers number GPUs as the driver does: they are started with `CUDA_DEVICE_ORDER`.
    """
    name = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if name.startswith(("GPU-", "MIG-")):
        return pynvml.nvmlDeviceGetHandleByUUID(name)
    return pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdecimal() else None
