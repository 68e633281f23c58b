"""Files that appear whole, are read whole, and are told apart by their hash."""

import errno
import hashlib
import os
import secrets
import shutil
from pathlib import Path
from typing import Any

import orjson

from apps.errors import DiskFull, RunDirectoryError
from apps.rundir.plain_files import reading

FULL_DISK_ERRORS = frozenset({errno.ENOSPC, errno.EFBIG, errno.EDQUOT})


def write_whole(path: Path, data: bytes) -> None:
    """Write a file so that readers see either the old content or the new one, never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp")
    try:
        with beside.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        if error.errno in FULL_DISK_ERRORS:
            raise DiskFull(f"the disk is full: {path.name} could not be written") from error
        raise


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole, indented, keys in the given order."""
    write_whole(path, json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """Return what `write_json` writes."""
    option = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    return orjson.dumps(value, option=option)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunDirectoryError: The file is missing, not JSON, or not an object.
    """
    try:
        with reading(path) as file:
            value = orjson.loads(file.read())
    except FileNotFoundError:
        raise RunDirectoryError(f"{path} does not exist") from None
    except orjson.JSONDecodeError as error:
        raise RunDirectoryError(f"{path} is damaged: {error}") from error
    if not isinstance(value, dict):
        raise RunDirectoryError(f"{path} is damaged: not an object")
    return value


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal text; a named pipe reads as empty."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def publish_directory(beside: Path, target: Path) -> None:
    """Rename a finished directory into place, fsynced, replacing an earlier one of that name.

    Its files are new, or hard links into a directory that was published so.
    """
    for file in beside.iterdir():
        if file.stat().st_nlink > 1:
            continue  # Linked from a published directory, it was synced there; again costs 2 ms.
        fd = os.open(file, os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
    earlier = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
    if target.exists():
        target.rename(earlier)
    beside.rename(target)
    shutil.rmtree(earlier, ignore_errors=True)


def link_or_copy(source: str, target: str) -> None:
    """Give a file that never changes a second name, or copy it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:  # Another file system, or one without hard links.
        shutil.copy2(source, target)
