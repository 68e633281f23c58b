"""Which class trains a spec: the library's, a leaner one of ours, or another backend's."""

import os
from collections.abc import Iterator, Mapping
from importlib import import_module
from types import ModuleType
from typing import cast

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from apps.catalogue.algorithms.backends import BACKENDS, DEFAULT_BACKEND
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.errors import EngineError
from apps.spec.run import RunSpec

# Where a class of ours stands for the library's: corrected for the engine to watch it, or lean.
OUR_CLASSES = {
    "ars": "apps.engine.models.ars:ObservableARS",
    "ppo": "apps.engine.models.lean.on_policy:LeanPPO",
    "a2c": "apps.engine.models.lean.on_policy:LeanA2C",
    "dqn": "apps.engine.models.lean.replay:LeanDQN",
    "td3": "apps.engine.models.lean.replay:LeanTD3",
    "ddpg": "apps.engine.models.lean.replay:LeanDDPG",
    "sac": "apps.engine.models.lean.sac:LeanSAC",
}


class _AlgorithmClasses(Mapping[str, type[BaseAlgorithm]]):
    """The class of each algorithm by name; sb3-contrib is imported only when it is asked for."""

    def __getitem__(self, name: str) -> type[BaseAlgorithm]:
        path = OUR_CLASSES.get(name, ALGORITHMS[name].class_path)
        module, _, class_name = path.partition(":")
        return cast(type[BaseAlgorithm], getattr(import_module(module), class_name))

    def __iter__(self) -> Iterator[str]:
        return iter(ALGORITHMS)

    def __len__(self) -> int:
        return len(ALGORITHMS)


ALGORITHM_CLASSES: Mapping[str, type[BaseAlgorithm]] = _AlgorithmClasses()


def class_for(spec: RunSpec) -> type[BaseAlgorithm]:
    """Return the class that a spec's backend has for its algorithm.

    Raises:
        EngineError: The backend is not installed.
    """
    if spec.backend == DEFAULT_BACKEND:
        return ALGORITHM_CLASSES[spec.algorithm]
    return cast(type[BaseAlgorithm], getattr(_sbx_models(), spec.schema.title))


def _sbx_models() -> ModuleType:
    """Import the models of backend sbx; JAX then computes on the CPU, in as many threads as torch.

    Two runs of SAC side by side on two cores need 15 % less CPU time each with one thread.
    """
    if words := BACKENDS["sbx"].missing():
        raise EngineError(words)
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    os.environ.setdefault("PJRT_NPROC", str(torch.get_num_threads()))
    return import_module("apps.engine.models.sbx")
