"""Handing out checkpoints: only what the record remembers, and never the state to go on from."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from apps.experiments.models import Run
from apps.experiments.statuses import RunKind
from apps.jobs.verbs import downloads
from apps.jobs.verbs.refusals import Refused
from tests.builders import make_run
from tests.damaged_checkpoints import DAMAGE, _tamper_with_the_last, run_with_checkpoint


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
