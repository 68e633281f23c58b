"""Checkpoints: written whole with hashes, checked before they are loaded, pruned by rule.

A checkpoint is a folder `checkpoints/<step>/` with `model.zip` (a plain Stable-Baselines3 file),
`state.json` (counters) and `manifest.json` (SHA-256 and size of each file, written last).
`checkpoints/manifest.json` names the best and the last.
"""

import shutil
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from apps.engine.errors import DamagedCheckpoint, RunDirectoryError
from apps.engine.rundir import RunDirectory, publish_directory, read_json, sha256_of, write_json

MODEL = "model.zip"
STATE = "state.json"
MANIFEST = "manifest.json"


def save(
    model: BaseAlgorithm,
    directory: RunDirectory,
    step: int,
    is_best: bool,
    should_evaluate: bool,
    keep: int,
) -> int:
    """Save a checkpoint, update the pointers, prune old ones, and return its size in bytes.

    Args:
        model: The model, between two rollouts.
        directory: The run's directory.
        step: Environment steps so far; names the checkpoint.
        is_best: Whether no earlier checkpoint had a better mean training return.
        should_evaluate: Whether an evaluation will want it, which protects it from pruning.
        keep: How many of the latest checkpoints to keep, beside the best and the evaluated ones.

    Raises:
        DiskFull: The disk is full; earlier checkpoints are untouched.
    """
    directory.checkpoints.mkdir(exist_ok=True)
    target = directory.checkpoints / str(step)
    beside = directory.checkpoints / f".{step}.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    model.save(beside / MODEL)
    write_json(
        beside / STATE, {"num_timesteps": model.num_timesteps, "n_updates": _updates(model)}
    )
    files: dict[str, dict[str, Any]] = {
        name: {"sha256": sha256_of(beside / name), "size_bytes": (beside / name).stat().st_size}
        for name in (MODEL, STATE)
    }
    write_json(
        beside / MANIFEST,
        {"step": step, "is_best": is_best, "should_evaluate": should_evaluate, "files": files},
    )
    publish_directory(beside, target)
    _update_pointers(directory, step, is_best)
    _prune(directory, keep)
    return sum(file["size_bytes"] for file in files.values())


def load(
    algorithm_class: type[BaseAlgorithm], directory: RunDirectory, step: int, device: str
) -> BaseAlgorithm:
    """Load the model of a checkpoint that this program wrote.

    Loading unpickles, so the files' hashes are compared first.

    Raises:
        DamagedCheckpoint: A file is missing or differs from its manifest.
    """
    verify(directory, step)
    return algorithm_class.load(directory.checkpoints / str(step) / MODEL, device=device)


def verify(directory: RunDirectory, step: int) -> dict[str, Any]:
    """Compare a checkpoint's files with its manifest and return the manifest.

    Raises:
        DamagedCheckpoint: A file is missing or differs from its manifest.
    """
    folder = directory.checkpoints / str(step)
    try:
        manifest = read_json(folder / MANIFEST)
    except RunDirectoryError as error:
        raise DamagedCheckpoint(f"checkpoint {step} of run {directory.name}: {error}") from error
    for name, file in manifest["files"].items():
        path = folder / name
        if not path.exists() or sha256_of(path) != file["sha256"]:
            raise DamagedCheckpoint(
                f"checkpoint {step} of run {directory.name} is damaged: {name} does not match its "
                "manifest; choose another checkpoint"
            )
    return manifest


def steps_of(directory: RunDirectory) -> list[int]:
    """Return the steps that have a finished checkpoint, in order."""
    if not directory.checkpoints.is_dir():
        return []
    folders = (path for path in directory.checkpoints.iterdir() if path.name.isdecimal())
    return sorted(int(folder.name) for folder in folders if (folder / MANIFEST).exists())


def _updates(model: BaseAlgorithm) -> int:
    return int(getattr(model, "_n_updates", 0))


def _update_pointers(directory: RunDirectory, step: int, is_best: bool) -> None:
    path: Path = directory.checkpoints / MANIFEST
    pointers = read_json(path) if path.exists() else {"best": step}
    write_json(path, {"best": step if is_best else pointers["best"], "last": step})


def _prune(directory: RunDirectory, keep: int) -> None:
    best = read_json(directory.checkpoints / MANIFEST)["best"]
    for step in steps_of(directory)[:-keep]:
        folder = directory.checkpoints / str(step)
        if step != best and not read_json(folder / MANIFEST)["should_evaluate"]:
            shutil.rmtree(folder)
