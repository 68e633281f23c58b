"""Handing out checkpoints: only what the record remembers, and never the state to go on from."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.experiments.models import Checkpoint, Run
from apps.experiments.statuses import RunKind
from apps.jobs.verbs import downloads
from apps.jobs.verbs.refusals import Refused
from apps.rundir.files import json_bytes, sha256_of
from tests.conftest import make_run

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


def test_what_is_recorded_is_handed_out_and_nothing_else(
    home: Path, tmp_path: Path, db: None
) -> None:
    run = run_with_checkpoint()
    paths = downloads.save_into(run, "best", tmp_path / "out")
    names = {"model.zip", "normalization.npz", "load.py", "spec.json"}
    assert (
        {path.name for path in paths}
        == names
        == {path.name for path in (tmp_path / "out").iterdir()}
    )
    assert (tmp_path / "out" / "model.zip").read_bytes() == b"networks"
    assert json.loads((tmp_path / "out" / "spec.json").read_text()) == run.spec


@pytest.mark.timeout(20)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_the_recorded_one_stays(
    home: Path, tmp_path: Path, db: None, damage: Callable[[Run], None]
) -> None:
    run = run_with_checkpoint()
    damage(run)
    with pytest.raises(Refused, match=r"recorded|the record|plain file|does not exist"):
        downloads.save_into(run, "last", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nothing_is_written_unless_every_file_is_the_recorded_one(
    home: Path, tmp_path: Path, db: None
) -> None:
    run = run_with_checkpoint()
    _tamper_with_the_last(run)
    with pytest.raises(Refused, match=r"normalization\.npz .* not the file that was recorded"):
        downloads.save_into(run, "last", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_written_is_refused_in_words(
    home: Path, tmp_path: Path, db: None
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(Refused, match="cannot be written"):
        downloads.save_into(run_with_checkpoint(), "last", tmp_path / "file" / "out")


def test_a_logged_run_has_nothing_to_download(home: Path, db: None) -> None:
    with pytest.raises(Refused, match="a script outside does its work"):
        downloads.download(make_run(kind=RunKind.LOGGED, status="completed"), "last")
