"""What may lie in a run's directory in the place of a file, and must never be opened."""

import json
import os
from collections.abc import Callable
from pathlib import Path

SECRET = "root:x:0:0:the secret of another place\n"
Intruder = Callable[[Path], None]


def link_out(path: Path) -> None:
    """A symbolic link to a file outside of every run."""
    secret = path.parent.parent / "elsewhere" / "passwd"
    secret.parent.mkdir(exist_ok=True)
    secret.write_text(SECRET)
    path.symlink_to(secret)


def link_to_passwd(path: Path) -> None:
    """A symbolic link to what everybody may read."""
    path.symlink_to("/etc/passwd")


def link_to_another_run(path: Path) -> None:
    """A symbolic link to the same file of another run."""
    other = path.parent.parent / "anotherrun" / path.name
    other.parent.mkdir(exist_ok=True)
    values = {SECRET.strip(): 1}
    other.write_text(json.dumps({"type": "metrics", "t": 1, "step": 1, "values": values}) + "\n")
    path.symlink_to(other)


def pipe(path: Path) -> None:
    """A named pipe that nobody writes to."""
    os.mkfifo(path)


def folder(path: Path) -> None:
    """A folder."""
    path.mkdir()


INTRUDERS: list[Intruder] = [link_out, link_to_passwd, link_to_another_run, pipe, folder]


def put(intruder: Intruder, path: Path) -> None:
    """Put something in the place of a file."""
    path.unlink(missing_ok=True)
    intruder(path)
