"""The files of checkpoints: judged before anybody copies, reads, seeds from or plays them.

A checkpoint holds pickles, and who exchanges one can mend the manifest beside it. So whoever
remembers the manifest's hash compares with that first: `verify` is the one gate, and every way to
a checkpoint's files leads through it.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import orjson

from apps.errors import DamagedCheckpoint, RunDirectoryError
from apps.rundir import events
from apps.rundir.directory import RunDirectory
from apps.rundir.files import link_or_copy, publish_directory, sha256_of, write_json
from apps.rundir.plain_files import reading_below

STATE = "state.pkl"
MANIFEST = "manifest.json"
TORCH_FILE = "model.zip"
FLAX_FILE = "networks.msgpack"
# A checkpoint has one of these.
NETWORK_FILES = frozenset({TORCH_FILE, FLAX_FILE})


def verify(
    directory: RunDirectory, step: int, expected_sha256: str | None = None, only: str = ""
) -> dict[str, Any]:
    """Compare a checkpoint's files with its manifest and return the manifest.

    Args:
        directory: The run's directory.
        step: Step of the checkpoint.
        expected_sha256: Hash of the manifest as the record remembers it, empty where the record
            knows no such checkpoint; None: there is no record, and the manifest judges alone.
        only: The one file to compare; empty: all of them.

    Raises:
        DamagedCheckpoint: A file is missing or differs from its manifest, or the manifest differs
            from what is remembered.
    """
    manifest = recorded_manifest(directory, step, expected_sha256)
    with _told_of(directory, step):
        for name in [only] if only else manifest["files"]:
            if name not in manifest["files"]:
                raise RunDirectoryError(f"its manifest does not name {name}")
            with _open(directory, step, name) as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != manifest["files"][name]["sha256"]:
                raise RunDirectoryError(
                    f"it is damaged: {name} does not match its manifest; choose another checkpoint"
                )
    return manifest


def recorded_manifest(
    directory: RunDirectory, step: int, expected_sha256: str | None = None
) -> dict[str, Any]:
    """Return a checkpoint's manifest, for who compares each file as it is read; as `verify`."""
    with _told_of(directory, step):
        return _read_manifest(directory, step, expected_sha256)


@contextmanager
def _told_of(directory: RunDirectory, step: int) -> Iterator[None]:
    what = f"checkpoint {step} of run {directory.name}"
    try:
        yield
    except RunDirectoryError as error:
        raise DamagedCheckpoint(f"{what}: {error}") from error
    except OSError as error:
        why = error.strerror or error
        raise DamagedCheckpoint(
            f"{what} cannot be read: {why}; choose another checkpoint"
        ) from error


def _open(directory: RunDirectory, step: int, name: str) -> BufferedReader:
    path = f"{directory.checkpoints.name}/{step}/{name}"
    return reading_below(directory.path, path)


def _read_manifest(
    directory: RunDirectory, step: int, expected_sha256: str | None
) -> dict[str, Any]:
    try:
        with _open(directory, step, MANIFEST) as file:
            data = file.read()
    except FileNotFoundError:
        raise RunDirectoryError("its manifest does not exist") from None
    if expected_sha256 == "":
        raise RunDirectoryError("the record knows no such checkpoint")
    if expected_sha256 is not None and hashlib.sha256(data).hexdigest() != expected_sha256:
        raise RunDirectoryError("its manifest is not the one that was recorded")
    try:
        manifest: dict[str, Any] = orjson.loads(data)
        files = {name: entry["sha256"] for name, entry in manifest["files"].items()}
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise RunDirectoryError("its manifest is damaged") from error
    networks = NETWORK_FILES & files.keys() or {TORCH_FILE}
    if missing := {STATE, *networks} - files.keys():
        raise RunDirectoryError(f"its manifest does not name {', '.join(sorted(missing))}")
    if strange := [name for name in files if Path(name).name != name]:
        raise RunDirectoryError(f"its manifest names {strange[0]!r}, which is no file of its own")
    return manifest


def steps_of(directory: RunDirectory) -> list[int]:
    """Return the steps that have a finished checkpoint, in order."""
    if not directory.checkpoints.is_dir():
        return []
    folders = (path for path in directory.checkpoints.iterdir() if path.name.isdecimal())
    return sorted(int(folder.name) for folder in folders if (folder / MANIFEST).exists())


def copy_checkpoint(
    source: RunDirectory, target: RunDirectory, step: int, expected_sha256: str | None = None
) -> events.Event:
    """Copy a checkpoint into another run's directory, whole, as its best and last.

    Its files never change, so they are hard-linked: each directory stands alone, at no cost. What
    its manifest does not name is not copied.

    Returns:
        The event that tells of it, for the target's log.

    Raises:
        DamagedCheckpoint: As for `verify`.
    """
    manifest = verify(source, step, expected_sha256)
    folder = source.checkpoints / str(step)
    target.checkpoints.mkdir(exist_ok=True)
    beside = target.checkpoints / f".{step}.tmp"
    beside.mkdir()
    for name in (*manifest["files"], MANIFEST):
        link_or_copy(str(folder / name), str(beside / name))
    # What was judged, not what lies there by now.
    sha256 = expected_sha256 or sha256_of(beside / MANIFEST)
    publish_directory(beside, target.checkpoints / str(step))
    write_json(target.checkpoints / MANIFEST, {"best": step, "last": step})
    size_bytes = sum(file["size_bytes"] for file in manifest["files"].values())
    return events.checkpoint(step, size_bytes, True, False, sha256)
