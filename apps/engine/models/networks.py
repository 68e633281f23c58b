"""A model's networks in a checkpoint, whichever library holds them.

Torch's are in `model.zip`, a plain Stable-Baselines3 file, of which only the tensors are read
back. A model that is not torch's brings a file of its own.
"""

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import load_from_zip_file, recursive_setattr
from stable_baselines3.common.utils import set_random_seed

from apps.errors import DamagedCheckpoint
from apps.rundir.checkpoints import FLAX_FILE, TORCH_FILE


@runtime_checkable
class OwnNetworks(Protocol):
    """A model that writes, reads and seeds its networks itself."""

    def write_networks(self, path: Path) -> None:
        """Write all that they learn: parameters, optimizers, random keys."""

    def read_networks(self, path: Path) -> None:
        """Take back what was written.

        Raises:
            ValueError: The networks have other shapes.
        """

    def weights(self) -> list[NDArray[Any]]:
        """Return all numbers that they learn, array by array."""

    def seed_actions(self, seed: int) -> None:
        """Seed the stream that stochastic actions are drawn from."""


def file_of(model: BaseAlgorithm) -> str:
    """Return the name of the file that holds a model's networks."""
    return FLAX_FILE if isinstance(model, OwnNetworks) else TORCH_FILE


def save_networks(model: BaseAlgorithm, folder: Path) -> None:
    """Write a model's networks into a checkpoint's folder."""
    if isinstance(model, OwnNetworks):
        model.write_networks(folder / FLAX_FILE)
    else:
        model.save(folder / TORCH_FILE)


def load_networks(model: BaseAlgorithm, folder: Path) -> None:
    """Put the networks of a checkpoint into a model that was built from a spec.

    Raises:
        DamagedCheckpoint: The networks have other shapes.
    """
    try:
        if isinstance(model, OwnNetworks):
            model.read_networks(folder / FLAX_FILE)
        else:
            _load_tensors(model, folder / TORCH_FILE)
    except (RuntimeError, ValueError) as error:
        raise DamagedCheckpoint(
            f"the checkpoint's networks do not fit this spec: {error}; a branch keeps net_arch "
            "and the shapes of observations and actions"
        ) from error


def seed_draws(model: BaseAlgorithm, seed: int) -> None:
    """Seed every stream that a policy draws from when it plays."""
    set_random_seed(seed)
    if isinstance(model, OwnNetworks):
        model.seed_actions(seed)


def _load_tensors(model: BaseAlgorithm, path: Path) -> None:
    _, parameters, variables = load_from_zip_file(path, device=model.device, load_data=False)
    model.set_parameters(parameters, exact_match=True, device=model.device)
    for name, value in (variables or {}).items():
        recursive_setattr(model, f"{name}.data", value.data)
