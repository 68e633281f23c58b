"""The one safe way to open what lies in a run's directory.

Whoever can write there (an environment, a script, a restored archive) may have left a symbolic
link that leads elsewhere, or a named pipe that nobody ever writes to. Only plain files are opened,
each part of the path from the one before it, so that nothing that changes meanwhile leads outside.
"""

import errno
import os
import stat
from io import BufferedReader
from pathlib import Path, PurePosixPath

from apps.errors import RunDirectoryError

# Without O_NONBLOCK a named pipe would block for ever.
PLAIN = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_NOT_PLAIN_ERRORS = {errno.ENOTDIR, errno.ELOOP, errno.ENXIO, errno.EISDIR, errno.EACCES}


class NotPlainFile(RunDirectoryError):
    """What lies there is a symbolic link, a named pipe, a folder, or cannot be read."""


def open_below(root: Path, relative: str, flags: int = os.O_RDONLY) -> int:
    """Open a plain file below a directory, following no symbolic link below it.

    Args:
        root: The directory; it may itself be reached by symbolic links.
        relative: Path below it.
        flags: How to open it, beside `PLAIN`.

    Returns:
        A file descriptor, which the caller closes.

    Raises:
        FileNotFoundError: There is nothing of that name, or the name leads outside.
        NotPlainFile: There is something else than a plain file.
    """
    parts = PurePosixPath(relative).parts
    if not parts or "\0" in relative or any(part in {"/", "..", "."} for part in parts):
        raise FileNotFoundError(relative)
    try:
        directory = os.open(root, _FOLDER)
        try:
            for part in parts[:-1]:
                below = os.open(part, _FOLDER | os.O_NOFOLLOW, dir_fd=directory)
                os.close(directory)
                directory = below
            fd = os.open(parts[-1], flags | PLAIN, 0o644, dir_fd=directory)
        finally:
            os.close(directory)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise FileNotFoundError(relative) from error
        if error.errno in _NOT_PLAIN_ERRORS:
            raise _not_plain(root / relative) from error
        raise
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise _not_plain(root / relative)
    return fd


def reading_below(root: Path, relative: str) -> BufferedReader:
    """Open a plain file below a directory to read it; as `open_below`."""
    return os.fdopen(open_below(root, relative), "rb")


def open_plain(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a plain file by its path, whose folder is trusted; as `open_below`."""
    return open_below(path.parent, path.name, flags)


def reading(path: Path) -> BufferedReader:
    """Open a plain file to read it; as `open_below`."""
    return reading_below(path.parent, path.name)


def status_of(path: Path) -> os.stat_result:
    """Return the status of a plain file without opening it; raises as `open_below`."""
    status = os.lstat(path)
    if not stat.S_ISREG(status.st_mode):
        raise _not_plain(path)
    return status


def size_of(path: Path) -> int:
    """Return the length of a plain file in bytes, 0 when it is missing.

    Raises:
        NotPlainFile: As for `open_below`.
    """
    try:
        return status_of(path).st_size
    except FileNotFoundError:
        return 0


def _not_plain(path: Path) -> NotPlainFile:
    return NotPlainFile(
        f"{path} is not a plain file that can be read (a symbolic link, a named pipe, a folder?), "
        "so it is left alone; put the file itself there"
    )
