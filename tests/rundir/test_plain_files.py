"""Only plain files are opened, and nothing outside of the directory."""

import os
from pathlib import Path

import pytest

from apps.errors import RunDirectoryError
from apps.rundir import events
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json, sha256_of
from apps.rundir.log import LogWriter, read_lines
from apps.rundir.plain_files import NotPlainFile, open_below, reading, size_of
from tests.intruders import INTRUDERS, SECRET, Intruder, pipe, put

pytestmark = pytest.mark.timeout(20)


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    made = RunDirectory(tmp_path / "runs" / "k3v9mpt2xa").create({}, {})
    made.append(events.metrics(1, {"train/loss": 1.0}))
    return made


@pytest.mark.parametrize("intruder", INTRUDERS)
def test_no_reader_opens_anything_else(directory: RunDirectory, intruder: Intruder) -> None:
    put(intruder, directory.log)
    put(intruder, directory.spec)
    put(intruder, directory.lock_file)
    for read in (
        lambda: read_lines(directory.log),
        lambda: read_json(directory.spec),
        lambda: size_of(directory.log),
        lambda: reading(directory.log),
        lambda: directory.lock_holder(),
    ):
        with pytest.raises(NotPlainFile, match="not a plain file"):
            read()


@pytest.mark.parametrize("intruder", INTRUDERS)
def test_no_writer_writes_through_it(directory: RunDirectory, intruder: Intruder) -> None:
    put(intruder, directory.log)
    put(intruder, directory.lock_file)
    with pytest.raises(RunDirectoryError):
        LogWriter(directory.log)
    with pytest.raises(RunDirectoryError), directory.locked():
        pass
    secret = directory.path.parent / "elsewhere" / "passwd"
    assert not secret.exists() or secret.read_text() == SECRET


def test_a_folder_that_is_a_link_is_not_entered(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "film.mp4").write_bytes(b"film")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "eval").symlink_to(tmp_path / "outside")
    with pytest.raises(NotPlainFile):
        open_below(tmp_path / "run", "eval/film.mp4")


@pytest.mark.parametrize(
    "relative", ["", ".", "..", "../x", "/etc/passwd", "a/../../x", "a\0", "x" * 300]
)
def test_a_name_that_leads_nowhere_inside_names_no_file(tmp_path: Path, relative: str) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(FileNotFoundError):
        open_below(tmp_path, relative)


def test_a_run_that_was_moved_and_linked_is_read(directory: RunDirectory, tmp_path: Path) -> None:
    moved = tmp_path / "bigger disk"
    directory.path.rename(moved)
    directory.path.symlink_to(moved)
    assert len(read_lines(directory.log)[0]) == 1


def test_descriptors_do_not_pile_up(directory: RunDirectory) -> None:
    put(pipe, directory.log)
    before = len([*Path("/proc/self/fd").iterdir()])
    for _ in range(50):
        with pytest.raises(NotPlainFile):
            read_lines(directory.log)
    assert len([*Path("/proc/self/fd").iterdir()]) == before


def test_a_pipe_has_the_hash_of_nothing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "model.zip")
    assert sha256_of(tmp_path / "model.zip").startswith("e3b0c442")
