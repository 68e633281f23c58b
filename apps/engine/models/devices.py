"""Where a model computes: its device, and how many threads."""

from itertools import pairwise

import torch

from apps.errors import EngineError
from apps.spec.run import RunSpec

# OMP_NUM_THREADS, else all cores. As the process began: whatever it trained before must not decide
# in which order sums are taken.
DEFAULT_THREADS = torch.get_num_threads()
# Of SAC's layers of 256 a second thread makes a step a fifth faster with batches of 256, and no
# faster with batches of 128.
WORK_OF_A_THREAD = 1 << 23


def leave_compiler_out() -> None:
    """Keep torch from importing its compiler, which nothing here uses.

    The first optimizer of a process imports it only to say that it is not to be compiled: 0.7 s of
    CPU time and 60 MB. The mark set here is the one that torch sets after that import.
    """
    for name in ("add_param_group", "state_dict", "load_state_dict", "zero_grad"):
        method = getattr(getattr(torch.optim.Optimizer, name), "__wrapped__", None)
        if method is not None:
            setattr(method, "__dynamo_disable", method)


def threads_for(spec: RunSpec, is_image: bool, share: int | None = None) -> int:
    """Return how many threads a run computes in.

    One for small networks: two such runs side by side on two cores make 14,000 steps/s together
    with one thread each, and about 100 with torch's default. Convolutions gain from more, and so
    do updates from experience with wide layers and large batches.

    Args:
        spec: The run's spec.
        is_image: Whether its networks read pictures.
        share: The most that it may take; None: all there are.
    """
    most = min(share or DEFAULT_THREADS, DEFAULT_THREADS)
    return most if is_image else max(1, min(most, _work_of(spec) // WORK_OF_A_THREAD))


def _work_of(spec: RunSpec) -> int:
    """Return a minibatch's multiplications between the widest hidden layers; 0 without replay."""
    if not spec.schema.has_replay_buffer:
        return 0
    given = spec.hyperparameters
    networks = (
        given["net_arch"] or spec.schema.hyperparameters["net_arch"].unset,
        given.get("critic_net_arch") or (),
    )
    layers = [before * after for widths in networks for before, after in pairwise(widths)]
    return int(given["batch_size"] * max(layers, default=0))


def device_for(wanted: str, is_image: bool) -> str:
    """Return the device to train on; `auto` is CUDA for convolutions where there is a GPU.

    Raises:
        EngineError: CUDA is wanted and not there.
    """
    has_cuda = torch.cuda.is_available()
    if wanted == "auto":
        return "cuda" if has_cuda and is_image else "cpu"
    if wanted == "cuda" and not has_cuda:
        raise EngineError("device 'cuda' is not available on this machine; use auto or cpu")
    return wanted
