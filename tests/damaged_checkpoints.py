"""Runs whose checkpoint is as it was recorded, and all that may become of its files."""

import os
from pathlib import Path

from apps.experiments.models import Checkpoint, Run
from apps.rundir.files import json_bytes, sha256_of
from tests.builders import make_run

FILES = {"model.zip": b"networks", "normalization.npz": b"numbers", "state.pkl": b"a state"}


def write_checkpoint(folder: Path, files: dict[str, bytes]) -> str:
    """Write a checkpoint's folder and return the hash of its manifest."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    entries = {
        name: {"sha256": sha256_of(folder / name), "size_bytes": len(content)}
        for name, content in files.items()
    }
    (folder / "manifest.json").write_bytes(json_bytes({"step": 256, "files": entries}))
    return sha256_of(folder / "manifest.json")


def run_with_checkpoint(**fields: object) -> Run:
    """Make a run that has a checkpoint at step 256."""
    run = make_run(step=256, **fields)
    sha256 = write_checkpoint(folder_of(run), FILES)
    Checkpoint.objects.create(run=run, step=256, sha256=sha256, is_best=True)
    return run


def folder_of(run: Run) -> Path:
    return run.directory.checkpoints / "256"


def _tamper(run: Run) -> None:
    (folder_of(run) / "model.zip").write_bytes(b"evil")


def tamper_and_mend_the_manifest(run: Run) -> None:
    write_checkpoint(folder_of(run), {**FILES, "model.zip": b"evil"})


def _tamper_with_the_last(run: Run) -> None:
    (folder_of(run) / "normalization.npz").write_bytes(b"other numbers")


def _link(run: Run) -> None:
    secret = run.directory.path.parent / "secret"
    secret.write_bytes(FILES["model.zip"])
    (folder_of(run) / "model.zip").unlink()
    (folder_of(run) / "model.zip").symlink_to(secret)


def _pipe(run: Run) -> None:
    (folder_of(run) / "model.zip").unlink()
    os.mkfifo(folder_of(run) / "model.zip")


def _pipe_for_manifest(run: Run) -> None:
    (folder_of(run) / "manifest.json").unlink()
    os.mkfifo(folder_of(run) / "manifest.json")


def _lose(run: Run) -> None:
    (folder_of(run) / "model.zip").unlink()


def _forget_the_hash(run: Run) -> None:
    run.checkpoints.update(sha256="")


DAMAGE = [
    _tamper,
    tamper_and_mend_the_manifest,
    _link,
    _pipe,
    _pipe_for_manifest,
    _lose,
    _forget_the_hash,
]
