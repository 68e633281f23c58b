"""A replay buffer on disk: cut into chunks that checkpoints share.

A buffer is a ring, and between two checkpoints only some of its positions are written anew. So it
is cut at fixed positions into chunks, one immutable file each, and a checkpoint hard-links the
files of the one before it for all that has not changed. A folder still holds every file it needs:
it may be copied, moved or deleted without a thought for the others.

A chunk's file `buffer.<first>-<last + 1>.arrays` is what `numpy.save` writes, several times over:
first which arrays the buffer has, then each array's rows at those positions. Pixels, all that has
one byte an element, are compressed: Atari's take a fiftieth of the disk then, and less time than
to write them as they are. Rows go from where they lie to the disk and back, a chunk at a time:
nothing ever takes the memory twice.
"""

import hashlib
import os
import warnings
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import numpy as np
from numpy.typing import NDArray
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer

# A chunk that holds one new row is written whole again, and each chunk is a file.
MAX_CHUNK_BYTES = 8 << 20
MAX_CHUNK_ROWS = 65_536
ARRAYS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


class FileEntry(TypedDict):
    """What a manifest says of a file."""

    sha256: str
    size_bytes: int


class Position(TypedDict):
    """Where a ring stands.

    Attributes:
        pos: Position that is written next.
        is_full: Whether it has gone round.
        episodes: Of a hindsight buffer, where episodes begin and how long they are. An episode
            that ends or is overwritten changes them far from the present position, so they are
            kept whole, beside the chunks.
    """

    pos: int
    is_full: bool
    episodes: dict[str, NDArray[np.int64]]


class SharedChunks:
    """Writes a buffer's chunks, sharing those of the checkpoint before that are still true.

    One belongs to one model, for as long as it trains.
    """

    def __init__(self) -> None:
        self._folder = Path()
        self._files: dict[str, FileEntry] = {}
        self._steps = 0
        self._pos = 0

    def remember(self, model: BaseAlgorithm, folder: Path, files: dict[str, FileEntry]) -> None:
        """Take note of a finished checkpoint that holds the model as it is now.

        Args:
            model: The model, just saved or restored.
            folder: The checkpoint's folder, at its final place.
            files: The files of its manifest.
        """
        buffer = _buffer_of(model)
        if buffer is not None:
            self._folder, self._files = folder, files
            self._steps, self._pos = model.num_timesteps, buffer.pos

    def write(self, model: BaseAlgorithm, folder: Path) -> dict[str, FileEntry]:
        """Put every chunk of the model's buffer into a folder, and return the files.

        Raises:
            OSError: The disk is full, say.
        """
        buffer = _buffer_of(model)
        if buffer is None:
            return {}
        new = self._new_rows(model, buffer)
        files = {}
        for rows in _chunks(buffer):
            name = f"buffer.{rows.start}-{rows.stop}.arrays"
            is_new = any(part.start < rows.stop and rows.start < part.stop for part in new)
            if is_new or not self._share(name, folder):
                files[name] = _write_chunk(buffer, rows, folder / name)
            else:
                files[name] = self._files[name]
        return files

    def _new_rows(self, model: BaseAlgorithm, buffer: ReplayBuffer) -> list[range]:
        """Return the positions that were written since the last checkpoint.

        Every step of the environments writes one row.
        """
        size = buffer.buffer_size
        count = (model.num_timesteps - self._steps) // buffer.n_envs
        end = self._pos + count
        if count >= size or end % size != buffer.pos:
            return [range(size)]
        parts = [range(self._pos, min(end, size)), range(max(end - size, 0))]
        return [part for part in parts if part]

    def _share(self, name: str, folder: Path) -> bool:
        """Link a chunk from the last checkpoint; false where there is none or it cannot be."""
        if name not in self._files:
            return False
        try:
            os.link(self._folder / name, folder / name)
        except OSError:  # Deleted meanwhile, or the file system has no hard links.
            return False
        return True


def position_of(model: BaseAlgorithm) -> Position | None:
    """Return where the model's buffer stands, None when it has no buffer.

    The arrays are views: the buffer must not change before they are written.
    """
    buffer = _buffer_of(model)
    if buffer is None:
        return None
    episodes = _episodes(buffer)
    return Position(pos=buffer.pos, is_full=buffer.full, episodes=episodes)


def load_buffer(model: BaseAlgorithm, folder: Path, position: Position | None) -> str:
    """Fill the model's buffer, if it has one, from a checkpoint whose hashes are right.

    Args:
        model: A new model.
        folder: The checkpoint's folder.
        position: What `position_of` said when it was saved.

    Returns:
        Why the buffer stays empty; nothing when all is well.
    """
    buffer = _buffer_of(model)
    if buffer is None:
        return ""
    if position is None:
        return "it is not in the checkpoint"
    chunks = sorted((_rows_of(path), path) for path in folder.glob("buffer.*.arrays"))
    filled = max((stop for (_, stop), _ in chunks), default=0)
    if filled > buffer.buffer_size or position["is_full"] != (filled == buffer.buffer_size):
        return "its size is another now"
    if position["episodes"].keys() != _episodes(buffer).keys():
        return "hindsight replay is another now"
    for (start, stop), path in chunks:
        if not _read_chunk(buffer, slice(start, stop), path):
            return "its shape is another now"
    for name, values in position["episodes"].items():
        getattr(buffer, name)[: len(values)] = values
    buffer.pos, buffer.full = position["pos"], position["is_full"]
    return ""


def cut_episodes(model: BaseAlgorithm) -> None:
    """End the episodes at the tip of the model's buffer, if it has one: new ones follow.

    Else hindsight would give them goals that the new ones reached, and returns over several steps
    would be summed across the seam. They count as cut by a time limit, whose last value stands.
    """
    buffer = _buffer_of(model)
    if buffer is None or not _filled(buffer):
        return
    if isinstance(buffer, HerReplayBuffer):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # It warns of just what is wanted here.
            buffer.truncate_last_trajectory()
    elif buffer.handle_timeout_termination:
        tip = buffer.pos - 1
        buffer.timeouts[tip] = np.maximum(buffer.timeouts[tip], 1 - buffer.dones[tip])


def _buffer_of(model: BaseAlgorithm) -> ReplayBuffer | None:
    buffer = getattr(model, "replay_buffer", None)
    return buffer if isinstance(buffer, ReplayBuffer) else None


def _filled(buffer: ReplayBuffer) -> int:
    return int(buffer.buffer_size if buffer.full else buffer.pos)


def _episodes(buffer: ReplayBuffer) -> dict[str, NDArray[np.int64]]:
    if not isinstance(buffer, HerReplayBuffer):
        return {}
    filled = _filled(buffer)
    return {
        "ep_start": buffer.ep_start[:filled],
        "ep_length": buffer.ep_length[:filled],
        "_current_ep_start": buffer._current_ep_start,
    }


def _arrays(buffer: ReplayBuffer) -> dict[str, NDArray[Any]]:
    """Return a buffer's arrays by name; the parts of dictionaries have one each."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in ARRAYS:
        value = getattr(buffer, name, None)
        if isinstance(value, dict):
            arrays |= {f"{name}.{key}": array for key, array in value.items()}
        elif value is not None:
            arrays[name] = value
    return arrays


def _chunks(buffer: ReplayBuffer) -> Iterator[range]:
    """Yield the positions of each chunk of the filled part."""
    row_bytes = sum(array[0].nbytes for array in _arrays(buffer).values())
    rows = min(MAX_CHUNK_ROWS, max(1, MAX_CHUNK_BYTES // row_bytes))
    filled = _filled(buffer)
    for start in range(0, filled, rows):
        yield range(start, min(start + rows, filled))


class _Hashing:
    """A file that hashes what is written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._sha256 = hashlib.sha256()

    def write(self, data: bytes) -> int:
        self._sha256.update(data)
        return self._file.write(data)

    def entry(self) -> FileEntry:
        return FileEntry(sha256=self._sha256.hexdigest(), size_bytes=self._file.tell())


def _write_chunk(buffer: ReplayBuffer, rows: range, path: Path) -> FileEntry:
    arrays = _arrays(buffer)
    with path.open("wb") as opened:
        file = _Hashing(opened)
        np.save(file, _signatures(arrays))
        for array in arrays.values():
            part = array[rows.start : rows.stop]
            if array.itemsize == 1:
                part = np.frombuffer(zlib.compress(part.data, level=1), np.uint8)
            np.save(file, part)
        return file.entry()


def _read_chunk(buffer: ReplayBuffer, rows: slice, path: Path) -> bool:
    """Read a chunk into a buffer; false when it is of a buffer with other arrays."""
    arrays = _arrays(buffer)
    with path.open("rb") as file:
        if not np.array_equal(np.load(file), _signatures(arrays)):
            return False
        for array in arrays.values():
            part = np.load(file)
            if array.itemsize == 1:
                part = np.frombuffer(zlib.decompress(part), array.dtype)
            array[rows] = part.reshape(array[rows].shape)
    return True


def _signatures(arrays: dict[str, NDArray[Any]]) -> NDArray[np.str_]:
    """Return name, type and shape of a row of each array."""
    return np.array([f"{name} {a.dtype} {a.shape[1:]}" for name, a in arrays.items()])


def _rows_of(path: Path) -> tuple[int, int]:
    start, _, stop = path.name.split(".")[1].partition("-")
    return int(start), int(stop)
