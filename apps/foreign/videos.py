"""A film that somebody else made: what its index says, and a still of it.

An MP4 is boxes within boxes (ISO/IEC 14496-12): four bytes of size, four of type, then what is in
it. Only the index (`moov`) is read, and no size in it is believed. The still is made by ffmpeg, in
a process of its own that may open files only; what it cannot decode is no film.
"""

import os
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import imageio_ffmpeg

from apps.errors import RefusedFile

MAX_FILM_BYTES = 64 << 20
MAX_INDEX_BYTES = 16 << 20
MAX_BOXES = 10_000
MAX_SIDE = 4096
MAX_DURATION_S = 3600.0
POSTER_AT_S = 1.5
POSTER_WIDTH = 1280
POSTER_LIMIT_S = 30
# What the pictures are coded with, where browsers play it.
CODECS = {b"avc1", b"avc3", b"av01", b"vp09"}
ENCODE = "encode it with ffmpeg -c:v libx264 -pix_fmt yuv420p -movflags +faststart"


@dataclass(frozen=True, slots=True)
class FilmIndex:
    """What the index of a film says.

    Attributes:
        width: Pixels.
        height: Pixels.
        duration_s: Seconds.
    """

    width: int
    height: int
    duration_s: float


def read_index(path: Path) -> FilmIndex:
    """Read the index of an MP4.

    Raises:
        RefusedFile: It is no MP4, or none that a browser plays.
    """
    with path.open("rb") as file:
        index = _index_of(file)
    try:
        duration_s = _duration_s(_only(_inside(index), b"mvhd"))
        width, height, codec = _picture(index)
    except (struct.error, IndexError) as error:
        raise RefusedFile(f"the index of the film is damaged: {error}") from error
    if codec not in CODECS:
        name = codec.decode("ascii", "replace")
        raise RefusedFile(
            f"its pictures are coded as {name}, which browsers do not play; {ENCODE}"
        )
    if not (1 <= width <= MAX_SIDE and 1 <= height <= MAX_SIDE):
        raise RefusedFile(f"its pictures are {width} x {height}; at most {MAX_SIDE} a side")
    if not 0 < duration_s <= MAX_DURATION_S:
        raise RefusedFile(f"it takes {duration_s:g} s; allowed are more than 0 and at most 3600")
    return FilmIndex(width, height, duration_s)


def write_poster(film: Path, poster: Path, duration_s: float) -> None:
    """Write a still of a film as WebP, whole.

    Raises:
        RefusedFile: The film cannot be decoded.
    """
    beside = poster.with_name(f".{poster.name}.tmp")
    command = [
        imageio_ffmpeg.get_ffmpeg_exe(),
        "-v",
        "error",
        "-nostdin",
        "-y",
        "-protocol_whitelist",
        "file",
        "-threads",
        "1",
        "-f",
        "mov",
        "-ss",
        f"{min(POSTER_AT_S, duration_s / 2):.3f}",
        "-i",
        str(film),
        "-frames:v",
        "1",
        "-vf",
        f"scale=w='min({POSTER_WIDTH},iw)':h=-2",
        "-c:v",
        "libwebp",
        "-f",
        "image2",
        str(beside),
    ]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=POSTER_LIMIT_S
        )
        if done.returncode or not beside.exists():
            said = done.stderr.strip()[-200:] or "it holds no picture"
            raise RefusedFile(f"ffmpeg cannot decode it: {said}; {ENCODE}")
        beside.replace(poster)
    except subprocess.TimeoutExpired as error:
        raise RefusedFile(f"ffmpeg found no picture in {POSTER_LIMIT_S} s; {ENCODE}") from error
    finally:
        beside.unlink(missing_ok=True)


def _index_of(file: BinaryIO) -> memoryview:
    size = os.fstat(file.fileno()).st_size
    position = 0
    for number in range(MAX_BOXES):
        file.seek(position)
        kind, header, length = _header(file.read(16), size - position)
        if number == 0 and kind != b"ftyp":
            raise RefusedFile("it is no MP4: it does not begin with an ftyp box")
        if kind == b"moov":
            if length > MAX_INDEX_BYTES:
                raise RefusedFile(f"its index takes {length} bytes; at most {MAX_INDEX_BYTES}")
            file.seek(position + header)
            return memoryview(file.read(length - header))
        position += length
        if position >= size:
            break
    raise RefusedFile("it is no whole MP4: it has no index (a moov box)")


def _header(data: bytes | memoryview, room: int) -> tuple[bytes, int, int]:
    """Return type, bytes of header and bytes in all of the box that some bytes begin."""
    if len(data) < 8:
        raise RefusedFile("it is no whole MP4: a box is cut short")
    length, kind = struct.unpack_from(">I4s", data)
    header = 8
    if length == 1 and len(data) >= 16:
        (length,), header = struct.unpack_from(">Q", data, 8), 16
    elif length == 0:
        length = room  # It goes on to the end.
    if not header <= length <= room:
        raise RefusedFile("it is no whole MP4: a box is cut short")
    return kind, header, length


def _inside(data: memoryview) -> Iterator[tuple[bytes, memoryview]]:
    """Yield the boxes within a box: their types and what is in them."""
    for _ in range(MAX_BOXES):
        if not data:
            return
        kind, header, length = _header(data, len(data))
        yield kind, data[header:length]
        data = data[length:]


def _only(boxes: Iterator[tuple[bytes, memoryview]], wanted: bytes) -> memoryview:
    for kind, content in boxes:
        if kind == wanted:
            return content
    raise RefusedFile(f"its index has no {wanted.decode()} box")


def _duration_s(header: memoryview) -> float:
    if header[0] == 1:
        scale, duration = struct.unpack_from(">IQ", header, 20)
    else:
        scale, duration = struct.unpack_from(">II", header, 12)
    return float(duration) / scale if scale else 0.0


def _picture(index: memoryview) -> tuple[int, int, bytes]:
    """Return width, height and codec of the first track that holds pictures."""
    for kind, track in _inside(index):
        if kind != b"trak":
            continue
        media = _only(_inside(track), b"mdia")
        if bytes(_only(_inside(media), b"hdlr")[8:12]) != b"vide":
            continue
        table = _only(_inside(_only(_inside(media), b"minf")), b"stbl")
        _, codec = struct.unpack_from(">I4s", _only(_inside(table), b"stsd"), 8)
        # The last two numbers of a track's header, each with 16 bits behind the point.
        width, height = struct.unpack(">II", _only(_inside(track), b"tkhd")[-8:])
        return width >> 16, height >> 16, codec
    raise RefusedFile("it has no track of pictures")
