"""Serve one immutable file with byte ranges, as a browser's player needs to seek (RFC 9110, 14).

The web server in front of us has no back-pressure: whatever is handed to it sits in memory until
the client has read it. Hence two rules.

* An answer to a range is cut to `RANGE_CAP_BYTES`; a player asks for the rest by itself.
* A request without a range must be answered with the whole file (200). Up to the cap it is one
  piece. A longer file is streamed in small pieces, paced at `WHOLE_FILE_BYTES_PER_S`, and at most
  `WHOLE_FILES_AT_ONCE` are read at a time, so an ordinary client hardly lags behind. This slows
  down but does not bound what a client that never reads makes the server hold: 200 MiB of a
  200 MiB file were measured. Films are a few megabytes; big installs put a proxy in front.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from weakref import WeakKeyDictionary

from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.http import content_disposition_header, parse_etags

from apps.accounts.problems import problem
from apps.rundir.plain_files import NotPlainFile, open_below

RANGE_CAP_BYTES = 2 << 20
CHUNK_BYTES = 256 << 10
WHOLE_FILE_BYTES_PER_S = 16 << 20
WHOLE_FILES_AT_ONCE = 4

# Everything else is an attachment of bytes: never rendered, never sniffed.
SHOWN_TYPES = {
    ".mp4": "video/mp4",
    ".webp": "image/webp",
    ".png": "image/png",
    ".json": "application/json",
}
_RANGE = re.compile(r"bytes=\s*(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))\s*", re.ASCII)


class Unsatisfiable(Exception):
    """A range that starts beyond the end of the file."""


class Changed(Exception):
    """A file that is not the one whose hash is known."""


@dataclass(slots=True)
class OpenFile:
    """An open regular file; whoever holds it closes it."""

    fd: int
    size: int
    etag: str

    def read(self, start: int, count: int) -> bytes:
        """Read bytes, fewer only at the end of the file."""
        return os.pread(self.fd, count, start)

    def sha256(self) -> str:
        """Return the hash of the whole file."""
        found, position = hashlib.sha256(), 0
        while data := self.read(position, CHUNK_BYTES):
            found.update(data)
            position += len(data)
        return found.hexdigest()

    def close(self) -> None:
        """Close it; closing it again does nothing."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def open_inside(root: Path, relative: str) -> OpenFile:
    """Open a regular file inside a directory, following no symbolic link below it.

    Raises:
        FileNotFoundError: There is no such file, or it is not a plain file inside the directory.
    """
    try:
        fd = open_below(root, relative)
    except NotPlainFile as error:
        raise FileNotFoundError(relative) from error
    status = os.fstat(fd)
    etag = f'"{status.st_ino:x}-{status.st_size:x}-{status.st_mtime_ns:x}"'
    return OpenFile(fd, status.st_size, etag)


def parse_range(header: str, size: int) -> tuple[int, int] | None:
    """Read a Range header.

    Args:
        header: The header's value; empty when there is none.
        size: Length of the file in bytes.

    Returns:
        First byte and the byte after the last; None means the whole file: no range, a unit other
        than bytes, a malformed range, or several ranges, which a server may ignore.

    Raises:
        Unsatisfiable: The range is valid and holds no byte of the file.
    """
    match = _RANGE.fullmatch(header)
    if match is None:
        return None
    first, last, suffix = match.groups()
    if suffix is not None:
        if int(suffix) == 0 or size == 0:
            raise Unsatisfiable
        return max(0, size - int(suffix)), size
    if last and int(last) < int(first):
        return None
    if int(first) >= size:
        raise Unsatisfiable
    return int(first), min(int(last) + 1, size) if last else size


async def serve(
    request: HttpRequest, root: Path, relative: str, download_name: str, sha256: str = ""
) -> HttpResponseBase:
    """Answer GET or HEAD for a file inside a directory; see the module for ranges and pace.

    Args:
        request: Who asks, and for which range.
        root: The directory.
        relative: Path of the file below it.
        download_name: What a browser calls it, without its suffix.
        sha256: What the file must hash to, as it is open; empty: anything.

    Raises:
        FileNotFoundError: As for `open_inside`.
        Changed: It hashes to something else.
    """
    file = await asyncio.to_thread(open_inside, root, relative)
    is_handed_over = False
    try:
        if sha256 and await asyncio.to_thread(file.sha256) != sha256:
            raise Changed(relative)
        response = await _answer(request, file)
        is_handed_over = response.streaming
    finally:
        if not is_handed_over:
            file.close()
    for name, value in _headers(request, relative, file, download_name).items():
        if response.status_code < 400 or name == "Accept-Ranges":
            response[name] = value
    return response


async def _answer(request: HttpRequest, file: OpenFile) -> HttpResponseBase:
    known = parse_etags(request.headers.get("If-None-Match", ""))
    if any(tag in {"*", file.etag, f"W/{file.etag}"} for tag in known):
        return HttpResponse(status=304)
    if request.method == "HEAD":
        return HttpResponse(headers={"Content-Length": str(file.size)})
    header = request.headers.get("Range", "")
    if request.headers.get("If-Range", file.etag) != file.etag:
        header = ""  # The client holds parts of another version.
    try:
        wanted = parse_range(header, file.size)
    except Unsatisfiable:
        beyond = f"The range {header[:80]!r} is beyond the {file.size} bytes of the file."
        return problem(416, beyond, headers={"Content-Range": f"bytes */{file.size}"})
    if wanted is not None:
        start, end = wanted[0], min(wanted[1], wanted[0] + RANGE_CAP_BYTES)
        data = await asyncio.to_thread(file.read, start, end - start)
        content_range = f"bytes {start}-{start + len(data) - 1}/{file.size}"
        return HttpResponse(data, status=206, headers={"Content-Range": content_range})
    if file.size <= RANGE_CAP_BYTES:
        return HttpResponse(await asyncio.to_thread(file.read, 0, file.size))
    return StreamingHttpResponse(WholeFile(file), headers={"Content-Length": str(file.size)})


_slots: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


class WholeFile:
    """The paced pieces of a file; a response closes it, sent to its end or not."""

    def __init__(self, file: OpenFile) -> None:
        self.close = file.close
        self._file = file

    async def __aiter__(self) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        async with _slots.setdefault(loop, asyncio.Semaphore(WHOLE_FILES_AT_ONCE)):
            position = 0
            while position < self._file.size:
                data = await asyncio.to_thread(self._file.read, position, CHUNK_BYTES)
                if not data:
                    return
                position += len(data)
                yield data
                await asyncio.sleep(len(data) / WHOLE_FILE_BYTES_PER_S)


def _headers(
    request: HttpRequest, relative: str, file: OpenFile, download_name: str
) -> dict[str, str]:
    suffix = PurePosixPath(relative).suffix.lower()
    is_attachment = suffix not in SHOWN_TYPES or "download" in request.GET
    disposition = content_disposition_header(is_attachment, download_name + suffix)
    return {
        "Content-Type": SHOWN_TYPES.get(suffix, "application/octet-stream"),
        "Content-Disposition": disposition or "inline",
        "ETag": file.etag,
        "Accept-Ranges": "bytes",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": _caching(request),
    }


def _caching(request: HttpRequest) -> str:
    # Row ids may be given anew when the database is rebuilt from disk: only an address that names
    # the content (`?v=`) never changes; any other is asked about again, which costs one 304.
    return "private, max-age=31536000, immutable" if request.GET.get("v") else "private, no-cache"
