"""The libraries that can train: Stable-Baselines3 on torch, and its JAX port as an extra.

Light: whether a library is there is seen without importing it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.sbx import SBX_ALGORITHMS
from apps.catalogue.extras import install_command, is_there
from apps.errors import FieldError, InvalidSpec
from apps.text.suggestions import did_you_mean
from apps.words import shown

DEFAULT_BACKEND = "torch"


@dataclass(frozen=True, slots=True)
class Backend:
    """One library that can train.

    Attributes:
        name: The name users type.
        title: The name people read.
        package: The module that has to be there.
        requirement: What pip is told to install when it is missing.
        distributions: Names, in a package index, of what decides its figures.
        algorithms: What it can train, by name.
        devices: Where it may be asked to compute.
    """

    name: str
    title: str
    package: str
    requirement: str
    distributions: tuple[str, ...]
    algorithms: dict[str, Algorithm]
    devices: tuple[str, ...] = ("auto", "cpu", "cuda")

    def missing(self) -> str:
        """Say what to do where its package is not installed; empty where it is."""
        if is_there(self.package):
            return ""
        install = install_command(self.requirement)
        return f"{self.name} is not installed here; type {install}, or use {DEFAULT_BACKEND}"

    def refusals(self, device: str, weights: str) -> list[FieldError]:
        """Return what this library refuses of a spec's other fields."""
        errors = []
        if device not in self.devices:
            allowed = ", ".join(self.devices)
            message = f"{device} is not allowed with backend {self.name}; allowed: {allowed}"
            errors.append(FieldError("device", message))
        if weights and self.name != DEFAULT_BACKEND:
            message = f"{self.name} is not allowed: it cannot start from a model file's weights"
            errors.append(FieldError("backend", message))
        return errors


BACKENDS: dict[str, Backend] = {
    "torch": Backend(
        "torch", "PyTorch", "torch", "torch==2.13.0", ("torch", "sb3-contrib"), ALGORITHMS
    ),
    "sbx": Backend(
        "sbx",
        "JAX (sbx)",
        "sbx",
        "sbx-rl>=0.28,<1",
        ("sbx-rl", "jax", "flax"),
        SBX_ALGORITHMS,
        devices=("auto", "cpu"),
    ),
}


def algorithm_of(spec: Mapping[str, Any]) -> Algorithm | None:
    """Return the catalogue's entry for a spec's data, None where there is none."""
    backend = BACKENDS.get(str(spec.get("backend", DEFAULT_BACKEND)))
    return backend.algorithms.get(str(spec.get("algorithm"))) if backend else None


def find_algorithm(backend: str, name: Any) -> Algorithm:
    """Return an algorithm as a backend has it.

    Raises:
        InvalidSpec: The backend has none of that name.
    """
    algorithms = BACKENDS[backend].algorithms
    if isinstance(name, str) and name in algorithms:
        return algorithms[name]
    where = "here" if backend == DEFAULT_BACKEND else f"of backend {backend}"
    words = f"is not an algorithm {where}; allowed: {', '.join(algorithms)}"
    hint = did_you_mean(name, algorithms)
    raise InvalidSpec([FieldError("algorithm", f"{shown(name)} {words}{hint}")])


def foreign_values(algorithm: Algorithm, values: Mapping[str, Any]) -> list[str]:
    """Say which values of a preset a backend's algorithm does not take, each as `name value`."""
    _, errors = algorithm.resolve(dict(values))
    names = [error.field.removeprefix("hyperparameters.") for error in errors]
    return [f"{name} {values[name]}" for name in names]
