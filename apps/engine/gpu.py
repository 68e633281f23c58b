"""What the GPU has of memory: the one that CUDA shows a trainer first.

The driver's own library is asked: torch would take some hundred megabytes of the GPU for a look.
"""

import os
from contextlib import suppress
from typing import Any

import pynvml

# CUDA itself, its kernels and a network of a trainer. Reckoned, not measured.
PROCESS_BYTES = 1 << 30
# Of the pictures of a minibatch as floats: what its layers put out, and their gradients.
BATCH_COPIES = 4


def memory_bytes() -> tuple[int, int] | None:
    """Return the free and the total bytes of memory; None where no GPU can be asked."""
    with suppress(pynvml.NVMLError):
        pynvml.nvmlInit()
        try:
            handle = _first_visible()
            if handle is not None:
                memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
                return int(memory.free), int(memory.total)
        finally:
            pynvml.nvmlShutdown()
    return None


def _first_visible() -> Any:
    """Return the driver's handle of the first GPU that CUDA may use, None where there is none."""
    name = os.environ.get("CUDA_VISIBLE_DEVICES", "0").partition(",")[0].strip()
    if name.startswith(("GPU-", "MIG-")):
        return pynvml.nvmlDeviceGetHandleByUUID(name)
    return pynvml.nvmlDeviceGetHandleByIndex(int(name)) if name.isdecimal() else None
