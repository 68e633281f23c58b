"""What of a checkpoint is handed out: its networks, statistics, spec, and how they are loaded.

Only files of which the record knows the hash: the manifest's is in the row, the others' are in the
manifest. Nothing that holds a state to go on from (`state.pkl`) leaves the machine: whoever loads
it runs what it says.
"""

import hashlib
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from apps.errors import DamagedCheckpoint, InvalidSpec, RunDirectoryError
from apps.experiments.models import Checkpoint, Run
from apps.jobs.descriptions import description_of
from apps.jobs.verbs.evaluations import checkpoint_at
from apps.jobs.verbs.refusals import Refused, refuse_logged
from apps.rundir import plain_files
from apps.rundir.checkpoints import NETWORK_FILES, recorded_manifest
from apps.rundir.files import json_bytes
from apps.spec.run import RunSpec
from apps.spec.script import SCRIPT, STATISTICS, loading_script

SPEC = "spec.json"
HANDED_OUT = (*NETWORK_FILES, STATISTICS)
CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Stored:
    """A file of a checkpoint that may be handed out.

    Attributes:
        name: Its name.
        path: Where it lies below the run's directory.
        sha256: What it must hash to.
        size_bytes: Its size.
    """

    name: str
    path: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Download:
    """A checkpoint as it is handed out.

    Attributes:
        checkpoint: Its row.
        stored: Files that lie in its folder.
        made: Files that are made for whoever takes it, by name.
    """

    checkpoint: Checkpoint
    stored: dict[str, Stored]
    made: dict[str, bytes]

    @property
    def names(self) -> list[str]:
        """The names of all files."""
        return [*self.stored, *self.made]

    @property
    def script(self) -> str:
        """The script that loads it."""
        return self.made[SCRIPT].decode()


def download(run: Run, at: str) -> Download:
    """Return what there is to hand out of a checkpoint of a run.

    Args:
        run: The run.
        at: `last`, `best` or a step that has a checkpoint.

    Raises:
        Refused: There is no such checkpoint, or it is not the one that the record remembers.
    """
    refuse_logged(run, "downloaded")
    checkpoint = checkpoint_at(run, at)
    try:
        manifest = recorded_manifest(run.directory, checkpoint.step, checkpoint.sha256)
    except DamagedCheckpoint as error:
        raise Refused(f"{error}; it is not handed out, so choose another checkpoint") from error
    folder = f"checkpoints/{checkpoint.step}"
    stored = {
        name: Stored(name, f"{folder}/{name}", entry["sha256"], entry["size_bytes"])
        for name, entry in manifest["files"].items()
        if name in HANDED_OUT
    }
    try:
        spec = RunSpec.from_dict(run.spec)
    except InvalidSpec as error:
        raise Refused(f"the spec of run {run.pk} is of another version: {error}") from error
    script = loading_script(spec, run.pk, checkpoint.step, STATISTICS in stored, _shifts(spec))
    return Download(checkpoint, stored, {SCRIPT: script.encode(), SPEC: json_bytes(run.spec)})


def _shifts(spec: RunSpec) -> tuple[str, ...]:
    """Return what makes the environment's spaces plain, as the environment itself tells it.

    Not as the run directory does: whoever can write there would write a stranger's script.
    """
    try:
        return description_of(spec).loading_lines
    except InvalidSpec:
        return ()  # It cannot be made here any more; the model is handed out all the same.


def open_stored(run: Run, stored: Stored) -> BufferedReader:
    """Open a file that is handed out; what is read is what was hashed.

    Raises:
        Refused: It is missing, no plain file, or another one than was recorded.
    """
    try:
        file = plain_files.reading_below(run.directory.path, stored.path)
    except (OSError, RunDirectoryError) as error:
        raise Refused(f"{stored.path} of run {run.pk} is gone or no plain file") from error
    if hashlib.file_digest(file, "sha256").hexdigest() != stored.sha256:
        file.close()
        raise exchanged(run, stored)
    file.seek(0)
    return file


def exchanged(run: Run, stored: Stored) -> Refused:
    """Return the refusal of a file that is not the recorded one."""
    return Refused(
        f"{stored.path} of run {run.pk} is not the file that was recorded, so it is not handed "
        "out; choose another checkpoint"
    )


def save_into(run: Run, at: str, folder: Path) -> list[Path]:
    """Write what is handed out of a checkpoint into a folder, whole, and return the paths.

    Raises:
        Refused: As for `download`; or the folder holds a file of such a name already, or cannot
            be written.
    """
    found = download(run, at)
    if taken := [name for name in found.names if (folder / name).exists()]:
        raise Refused(f"{folder} has {', '.join(taken)} already; name another folder with -o")
    with ExitStack() as stack:
        # All are judged before any is written.
        sources = {
            name: stack.enter_context(open_stored(run, stored))
            for name, stored in found.stored.items()
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, source in sources.items():
                with (folder / name).open("xb") as target:
                    shutil.copyfileobj(source, target, CHUNK_BYTES)
            for name, content in found.made.items():
                (folder / name).write_bytes(content)
        except OSError as error:
            raise Refused(f"{folder} cannot be written: {error.strerror}") from error
    return [folder / name for name in found.names]
