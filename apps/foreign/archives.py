"""Read a zip file that a stranger wrote: every limit holds before its content is used.

A zip claims sizes, counts and names; none of them is believed. Bytes are counted while they are
read, and whatever is not expected is refused in words.
"""

import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from re import Pattern
from typing import BinaryIO

from apps.errors import RefusedFile
from apps.words import shown

MAX_FILE_BYTES = 128 << 20
MAX_TOTAL_BYTES = 256 << 20
MAX_MEMBERS = 10_000
# Weights hardly shrink; a deflated bomb grows a thousandfold.
MAX_RATIO = 100
CHUNK_BYTES = 1 << 20
ENTRY_SIGNATURE = b"PK\x01\x02"
ENCRYPTED_FLAG = 0x1
METHODS = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})
# What `zipfile` raises over bytes that are no sound zip file.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    NotImplementedError,
    RuntimeError,
    ValueError,
    EOFError,
    OSError,
    struct.error,
    LookupError,
    OverflowError,
)


@dataclass(slots=True)
class Budget:
    """How many bytes may still be unpacked, over all the archives of one file."""

    left_bytes: int = field(default_factory=lambda: MAX_TOTAL_BYTES)

    def spend(self, n_bytes: int) -> None:
        """Take bytes from the budget.

        Raises:
            RefusedFile: There are not that many left.
        """
        self.left_bytes -= n_bytes
        if self.left_bytes < 0:
            raise RefusedFile(f"it unpacks to more than {MAX_TOTAL_BYTES >> 20} MiB")


def members(
    file: BinaryIO, what: str, allowed: Pattern[str], budget: Budget
) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each member of a zip file.

    Args:
        file: The zip file, seekable.
        what: What a message calls it.
        allowed: The names that it may hold, to be matched in full.
        budget: How much may be unpacked.

    Raises:
        RefusedFile: It is no sound zip file, or one of the limits is passed.
    """
    size_bytes = _check_size(file, what)
    most_bytes = size_bytes * MAX_RATIO
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            _check_entries(entries, what, allowed)
            for entry in entries:
                content = bytearray()
                with archive.open(entry) as stream:
                    while chunk := stream.read(CHUNK_BYTES):
                        content += chunk
                        most_bytes -= len(chunk)
                        budget.spend(len(chunk))
                        if most_bytes < 0:
                            raise RefusedFile(
                                f"{what} unpacks to more than {MAX_RATIO} times its size; "
                                "weights never do"
                            )
                if len(content) != entry.file_size:
                    raise RefusedFile(
                        f"{what} is damaged: {entry.filename} has {len(content)} bytes and says "
                        f"{entry.file_size}"
                    )
                yield entry.filename, bytes(content)
    except ZIP_ERRORS as error:
        raise RefusedFile(f"{what} is not a sound zip file: {error}") from error


def _check_size(file: BinaryIO, what: str) -> int:
    """Return a file's size in bytes, unless it or the number of its entries is too large.

    The entries are counted where they lie: `zipfile` makes an object of each one at once.
    """
    file.seek(0)
    size_bytes, n_entries, end = 0, 0, b""
    while chunk := file.read(CHUNK_BYTES):
        size_bytes += len(chunk)
        n_entries += (end + chunk).count(ENTRY_SIGNATURE)
        end = chunk[1 - len(ENTRY_SIGNATURE) :]
        if size_bytes > MAX_FILE_BYTES:
            raise RefusedFile(f"{what} is larger than {MAX_FILE_BYTES >> 20} MiB")
        if n_entries > MAX_MEMBERS:
            raise RefusedFile(f"{what} has more than {MAX_MEMBERS} members")
    return size_bytes


def _check_entries(entries: list[zipfile.ZipInfo], what: str, allowed: Pattern[str]) -> None:
    seen: set[str] = set()
    for entry in entries:
        if not allowed.fullmatch(entry.filename):
            raise RefusedFile(
                f"{what} has a member {shown(entry.filename)}, which does not belong there"
            )
        if entry.filename in seen:
            raise RefusedFile(f"{what} has two members {entry.filename!r}")
        if entry.flag_bits & ENCRYPTED_FLAG:
            raise RefusedFile(f"{what} is encrypted; save it without a password")
        if entry.compress_type not in METHODS:
            raise RefusedFile(f"{what} is compressed in a way that is neither stored nor deflated")
        seen.add(entry.filename)
