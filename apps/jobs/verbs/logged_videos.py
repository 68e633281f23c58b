"""Films that outside scripts send of their runs: checked, kept, and told in the log."""

import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from apps.errors import DiskFull, FieldError, InvalidSpec, RefusedFile, RunDirectoryError
from apps.experiments.models import Run, Video
from apps.foreign.videos import MAX_FILM_BYTES, read_index, write_poster
from apps.jobs import rows
from apps.jobs.verbs import logged
from apps.jobs.verbs.refusals import Refused
from apps.rundir import events
from apps.rundir.files import FULL_DISK_ERRORS
from apps.spec.logged import MAX_STEP

MAX_FILMS = 500


class FilmTooLarge(Exception):
    """More bytes came than a film may have."""


def add_film(run: Run, step: int, chunks: Iterable[bytes]) -> tuple[Video, bool]:
    """Keep a film of a logged run; the same film of the same step is kept once.

    Args:
        run: The run, which may have ended.
        step: What its agent had learned by then.
        chunks: The MP4, piece by piece.

    Returns:
        The film, and whether it is new.

    Raises:
        InvalidSpec: The step is refused, or the file is no film that a browser plays.
        FilmTooLarge: It has more bytes than allowed.
        Refused: The run is trained here, or has as many films as it may have.
    """
    logged.refuse_trained(run)
    if not 0 <= step <= MAX_STEP:
        rule = f"it must be a whole number from 0 to {MAX_STEP}"
        raise InvalidSpec([FieldError("step", f"{step} is not allowed; {rule}")])
    if run.videos.count() >= MAX_FILMS:
        raise Refused(f"run {run.pk} has {MAX_FILMS} films, as many as it may have")
    folder = run.directory.films
    folder.mkdir(exist_ok=True)
    if folder.is_symlink():
        raise RunDirectoryError(f"{folder} is a symbolic link; put the folder itself there")
    beside = folder / f".{secrets.token_hex(8)}.tmp.mp4"
    try:
        digest = _receive(beside, chunks)
        return _publish(run, step, beside, f"step_{step}_{digest[:12]}")
    except RefusedFile as refused:
        raise InvalidSpec([FieldError("film", str(refused))]) from refused
    finally:
        beside.unlink(missing_ok=True)


def _receive(path: Path, chunks: Iterable[bytes]) -> str:
    """Write the pieces of a film to a file and return their SHA-256."""
    digest = hashlib.sha256()
    left = MAX_FILM_BYTES
    try:
        with path.open("wb") as file:
            for chunk in chunks:
                left -= len(chunk)
                if left < 0:
                    raise FilmTooLarge(f"A film has at most {MAX_FILM_BYTES} bytes.")
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        if error.errno in FULL_DISK_ERRORS:
            raise DiskFull("the disk is full: the film could not be written") from error
        raise
    return digest.hexdigest()


def _publish(run: Run, step: int, beside: Path, name: str) -> tuple[Video, bool]:
    film = beside.with_name(f"{name}.mp4")
    path = f"{film.parent.name}/{film.name}"
    if known := run.videos.filter(path=path).first():
        return known, False
    index = read_index(beside)
    poster = film.with_suffix(".webp")
    write_poster(beside, poster, index.duration_s)
    fields: dict[str, Any] = {
        "poster_path": f"{poster.parent.name}/{poster.name}",
        "duration_s": index.duration_s,
        "width": index.width,
        "height": index.height,
        "size_bytes": beside.stat().st_size,
    }
    beside.replace(film)
    line = events.film(step, path, **fields)
    logged.tell(run, line)
    return rows.record_told_film(run, line), True
