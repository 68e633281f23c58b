"""Read a checkpoint back: a model to play with, what it sees with, a state to go on from."""

import pickle
from dataclasses import replace
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from apps.catalogue.algorithms.backends import DEFAULT_BACKEND
from apps.engine.environments import pickles
from apps.engine.models.building import build_model
from apps.engine.models.classes import ALGORITHM_CLASSES
from apps.engine.models.networks import load_networks
from apps.engine.stepping.making import make_vec_env_for
from apps.engine.stepping.normalized import STATISTICS, FrozenStatistics
from apps.errors import DamagedCheckpoint
from apps.rundir.checkpoints import FLAX_FILE, MANIFEST, STATE, TORCH_FILE, verify
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json
from apps.spec.run import RunSpec


def load_model(
    spec: RunSpec, directory: RunDirectory, step: int, manifest_sha256: str | None = None
) -> BaseAlgorithm:
    """Load the model of a run's checkpoint to play with, on the CPU.

    Args:
        spec: The run's spec.
        directory: The run's directory.
        step: Step of the checkpoint.
        manifest_sha256: As for `rundir.checkpoints.verify`.

    Raises:
        DamagedCheckpoint: As `load`.
    """
    if spec.backend == DEFAULT_BACKEND:
        algorithm_class = ALGORITHM_CLASSES[spec.algorithm]
        return load(algorithm_class, directory, step, "cpu", manifest_sha256)
    verify(directory, step, manifest_sha256, only=FLAX_FILE)
    env = make_vec_env_for(replace(spec, n_envs=1))
    model = build_model(_without_experience(spec), env, threads=1)
    env.close()
    load_networks(model, directory.checkpoints / str(step))
    return model


def _without_experience(spec: RunSpec) -> RunSpec:
    """Return a spec of the same networks with the least of buffers, for one environment."""
    given = spec.hyperparameters
    if spec.schema.has_replay_buffer:
        small = {"buffer_size": 1}
    else:  # A rollout keeps its samples: fewer than a batch would be warned of.
        small = {"n_steps": given["n_steps"] * spec.n_envs}
    return replace(spec, n_envs=1, hyperparameters={**given, **small})


def load(
    algorithm_class: type[BaseAlgorithm],
    directory: RunDirectory,
    step: int,
    device: str,
    expected_sha256: str | None = None,
) -> BaseAlgorithm:
    """Load the torch model of a checkpoint that this program wrote, to play with.

    Loading unpickles, so the file's hash is compared first; see `verify`. A replay buffer may be
    gigabytes, and playing needs none: it is neither read nor checked.

    Raises:
        DamagedCheckpoint: The model is missing or differs from its manifest, or the manifest
            differs from what is remembered.
    """
    verify(directory, step, expected_sha256, only=TORCH_FILE)
    # A hindsight buffer, though empty, would not be made without an environment.
    no_buffer: dict[str, Any] = {"replay_buffer_class": None, "replay_buffer_kwargs": {}}
    path = directory.checkpoints / str(step) / TORCH_FILE
    return algorithm_class.load(path, device=device, custom_objects=no_buffer)


def load_statistics(directory: RunDirectory, step: int) -> FrozenStatistics | None:
    """Read what a checkpoint's observations are normalised with, None where they are not.

    Call `load` first: it judges the manifest.

    Raises:
        DamagedCheckpoint: The file is missing or differs from the manifest.
    """
    folder = directory.checkpoints / str(step)
    # A file that the manifest does not name is not of this checkpoint.
    if STATISTICS not in read_json(folder / MANIFEST)["files"]:
        return None
    verify(directory, step, only=STATISTICS)
    return FrozenStatistics.read(folder)


def load_state(directory: RunDirectory, step: int) -> dict[str, Any]:
    """Unpickle what `capture` gathered; call `verify` first.

    Raises:
        DamagedCheckpoint: It cannot be unpickled here, by another version of a package say.
    """
    try:
        with (directory.checkpoints / str(step) / STATE).open("rb") as file:
            state: dict[str, Any] = pickles.load(file)
    except (OSError, EOFError, AttributeError, ImportError, pickle.UnpicklingError) as error:
        raise DamagedCheckpoint(
            f"the state of checkpoint {step} cannot be read: {error}"
        ) from error
    return state
