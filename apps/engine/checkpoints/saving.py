"""Checkpoints: written whole with hashes, checked before they are loaded, pruned by rule.

A checkpoint is a folder `checkpoints/<step>/` with the networks (`model.zip`, a plain
Stable-Baselines3 file, or `networks.msgpack` where JAX trains), `state.pkl` (the rest of a run's
state), `buffer.*.arrays` (the filled part of a replay buffer), `normalization.npz` (the statistics
of a run that normalises) and `manifest.json` (SHA-256 and size of each file, written last). Files
never change, so checkpoints share those of their buffers by hard links.
`checkpoints/manifest.json` names the best and the last.
"""

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from apps.engine.checkpoints.buffer import FileEntry, SharedChunks
from apps.engine.environments import pickles
from apps.engine.models.networks import file_of, save_networks
from apps.engine.stepping.normalized import save_statistics
from apps.errors import DiskFull, RunDirectoryError
from apps.rundir.checkpoints import MANIFEST, STATE, steps_of
from apps.rundir.directory import RunDirectory
from apps.rundir.files import (
    FULL_DISK_ERRORS,
    json_bytes,
    publish_directory,
    read_json,
    sha256_of,
    write_json,
)


@dataclass(frozen=True, slots=True)
class Rank:
    """What a checkpoint is among its like.

    Attributes:
        step: Environment steps so far; names the checkpoint.
        is_best: Whether no earlier checkpoint had a better mean training return.
        should_evaluate: Whether an evaluation will want it, which protects it from pruning.
        keep: How many of the latest checkpoints to keep, beside the best and the evaluated ones.
    """

    step: int
    is_best: bool
    should_evaluate: bool
    keep: int


@dataclass(frozen=True, slots=True)
class Saved:
    """A finished checkpoint.

    Attributes:
        size_bytes: Size of its files.
        sha256: Hash of its manifest.
    """

    size_bytes: int
    sha256: str


def save(
    model: BaseAlgorithm,
    directory: RunDirectory,
    state: dict[str, Any],
    rank: Rank,
    chunks: SharedChunks,
) -> Saved:
    """Save a checkpoint whole, update the pointers, and prune old ones.

    Args:
        model: The model, between two rollouts.
        directory: The run's directory.
        state: What `capture` gathered.
        rank: Its step and what it is among its like.
        chunks: What the model's replay buffer shares with the checkpoint before.

    Raises:
        DiskFull: The disk is full; earlier checkpoints are untouched.
    """
    directory.checkpoints.mkdir(exist_ok=True)
    beside = directory.checkpoints / f".{rank.step}.tmp"
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir()
    try:
        files = _write_files(model, beside, state, chunks)
        manifest = json_bytes(
            {
                "step": rank.step,
                "is_best": rank.is_best,
                "should_evaluate": rank.should_evaluate,
                "files": files,
            }
        )
        (beside / MANIFEST).write_bytes(manifest)
    except OSError as error:
        shutil.rmtree(beside, ignore_errors=True)
        if error.errno in FULL_DISK_ERRORS:
            raise DiskFull(
                f"the disk is full: checkpoint {rank.step} could not be saved"
            ) from error
        raise
    folder = directory.checkpoints / str(rank.step)
    publish_directory(beside, folder)
    chunks.remember(model, folder, files)
    _update_pointers(directory, rank.step, rank.is_best)
    _prune(directory, rank.keep)
    return Saved(
        sum(file["size_bytes"] for file in files.values()), hashlib.sha256(manifest).hexdigest()
    )


def _write_files(
    model: BaseAlgorithm, folder: Path, state: dict[str, Any], chunks: SharedChunks
) -> dict[str, FileEntry]:
    save_networks(model, folder)
    with (folder / STATE).open("wb") as file:
        pickles.dump(state, file)
    env = model.get_env()
    assert env is not None
    written = {
        name: FileEntry(sha256=sha256_of(folder / name), size_bytes=(folder / name).stat().st_size)
        for name in (file_of(model), STATE, *save_statistics(env, folder))
    }
    return written | chunks.write(model, folder)


def _update_pointers(directory: RunDirectory, step: int, is_best: bool) -> None:
    path: Path = directory.checkpoints / MANIFEST
    best = step if is_best else _read(path).get("best", step)
    write_json(path, {"best": best, "last": step})


def _prune(directory: RunDirectory, keep: int) -> None:
    best = _read(directory.checkpoints / MANIFEST).get("best")
    for step in steps_of(directory)[:-keep]:
        folder = directory.checkpoints / str(step)
        if step != best and not _read(folder / MANIFEST).get("should_evaluate"):
            shutil.rmtree(folder)


def _read(manifest: Path) -> dict[str, Any]:
    """Read a manifest; one that is missing or damaged says nothing, and stops no training."""
    try:
        return read_json(manifest)
    except (RunDirectoryError, OSError):
        return {}
