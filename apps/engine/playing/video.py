"""Films: frames to an MP4 that every browser plays and seeks, with a caption and a poster.

H.264, yuv420p, at most 720p, the index in front (faststart), a key frame every 30 frames. Frames
go to the encoder one by one, so a film of any length takes the memory of one frame.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from moviepy.video.io.ffmpeg_writer import FFMPEG_VideoWriter
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from apps.errors import FilmFailed

MAX_WIDTH, MAX_HEIGHT = 1280, 720
MIN_HEIGHT = 240
MAX_FPS = 60.0
DEFAULT_FPS = 30.0
POSTER_FRAME = 45
CAPTION_HEIGHT = 24
CAPTION_MARGIN = 8
CAPTION_BACKGROUND = (16, 20, 24)
CAPTION_COLOUR = (225, 230, 235)
KEY_FRAME_INTERVAL = 30

Frame = NDArray[np.uint8]


def frame_rate(metadata: Mapping[str, Any]) -> float:
    """Return how many frames a second an environment is shown at, by its own metadata."""
    told = metadata.get("render_fps")
    fps = float(told) if isinstance(told, int | float) and told > 0 else DEFAULT_FPS
    return min(max(fps, 1.0), MAX_FPS)


@dataclass(frozen=True, slots=True)
class FilmInfo:
    """A finished film.

    Attributes:
        path: The MP4, inside the run directory.
        poster_path: The WebP still, inside the run directory.
        width: Pixels.
        height: Pixels.
        fps: Frames a second.
        n_frames: Frames.
        duration_s: Seconds.
        size_bytes: Size of the MP4.
    """

    path: str
    poster_path: str
    width: int
    height: int
    fps: float
    n_frames: int
    duration_s: float
    size_bytes: int


def picture_size(width: int, height: int) -> tuple[int, int]:
    """Return the size at which a rendered frame is shown above its caption.

    Small pixel art is enlarged by a whole factor, large frames are reduced to fit 720p with their
    caption; both sides are even, as yuv420p needs.
    """
    room = MAX_HEIGHT - CAPTION_HEIGHT
    scale = min(MAX_WIDTH / width, room / height, 1.0)
    if scale == 1.0 and height < MIN_HEIGHT:
        scale = max(1, min(MIN_HEIGHT // height, MAX_WIDTH // width))
    return max(2, int(width * scale) // 2 * 2), max(2, int(height * scale) // 2 * 2)


def fitted(frame: Frame) -> Frame:
    """Return a rendered frame at the size at which it is shown.

    Args:
        frame: Shape (height, width, 3), uint8.
    """
    height, width, _ = frame.shape
    size = picture_size(width, height)
    if size == (width, height):
        return frame
    method = Image.Resampling.NEAREST if size[0] > width else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(frame).resize(size, method))


def with_caption(frame: Frame, caption: str) -> Frame:
    """Return a frame with one line of text below it, cut at the frame's width.

    Args:
        frame: Shape (height, width, 3), uint8.
        caption: One short line.
    """
    height, width, _ = frame.shape
    picture = np.empty((height + CAPTION_HEIGHT, width, 3), dtype=np.uint8)
    picture[:height] = frame
    picture[height:] = CAPTION_BACKGROUND
    text = np.concatenate([_glyph(character) for character in caption], axis=1)
    room = min(text.shape[1], max(width - CAPTION_MARGIN, 0))
    picture[height:, CAPTION_MARGIN : CAPTION_MARGIN + room] = text[:, :room]
    return picture


@cache
def _glyph(character: str) -> Frame:
    # A line of text takes FreeType 1.1 ms, more than CartPole takes to render; glyphs are few.
    font = ImageFont.load_default(size=14)
    width = max(1, round(font.getlength(character)))
    picture = Image.new("RGB", (width, CAPTION_HEIGHT), CAPTION_BACKGROUND)
    ImageDraw.Draw(picture).text((0, 4), character, CAPTION_COLOUR, font=font)
    return np.asarray(picture)


class Film:
    """Writes one film; the files appear when the block ends without an exception."""

    def __init__(self, path: Path, fps: float) -> None:
        """Begin a film of so many frames a second (`frame_rate`)."""
        self._path = path
        self._beside = path.with_name(f".{path.stem}.{os.getpid()}.tmp.mp4")
        self._poster_path = path.with_suffix(".webp")
        self._fps = fps
        self._writer: Any = None
        self._size = (0, 0)
        self._n_frames = 0
        self._poster: Frame | None = None
        self._info: FilmInfo | None = None

    @property
    def info(self) -> FilmInfo:
        """The finished film."""
        if self._info is None:
            raise FilmFailed("the film is not finished")
        return self._info

    def add(self, frame: Any, caption: str) -> None:
        """Add one frame with its caption below it.

        Args:
            frame: Shape (height, width, 3), uint8, as `env.render()` gives it.
            caption: One short line.

        Raises:
            FilmFailed: The frame is no picture, or the encoder gave up.
        """
        if not isinstance(frame, np.ndarray) or frame.ndim != 3 or frame.shape[2] != 3:
            raise FilmFailed(
                f"the environment rendered {type(frame).__name__}, not an RGB picture"
            )
        picture = with_caption(fitted(np.asarray(frame, dtype=np.uint8)), caption)
        if self._writer is None:
            self._open((picture.shape[1], picture.shape[0]))
        try:
            self._writer.write_frame(picture)
        except OSError as error:
            raise FilmFailed(f"the encoder stopped: {error}") from error
        self._n_frames += 1
        if self._n_frames <= POSTER_FRAME:
            self._poster = picture

    def _open(self, size: tuple[int, int]) -> None:
        self._size = size
        options = ["-pix_fmt", "yuv420p", "-g", str(KEY_FRAME_INTERVAL), "-movflags", "+faststart"]
        self._writer = FFMPEG_VideoWriter(
            str(self._beside),
            size,
            self._fps,
            codec="libx264",
            preset="veryfast",
            threads=1,
            ffmpeg_params=options,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.close()
        try:
            if error is None:
                self._publish()
        finally:
            self._beside.unlink(missing_ok=True)

    def _publish(self) -> None:
        if self._poster is None or not self._beside.exists():
            raise FilmFailed("no frame was rendered")
        poster_beside = self._beside.with_suffix(".webp")
        Image.fromarray(self._poster).save(poster_beside, "WEBP", quality=80)
        size_bytes = self._beside.stat().st_size
        for beside, path in ((poster_beside, self._poster_path), (self._beside, self._path)):
            with beside.open("rb") as file:
                os.fsync(file.fileno())
            beside.replace(path)
        self._info = FilmInfo(
            path=f"{self._path.parent.name}/{self._path.name}",
            poster_path=f"{self._poster_path.parent.name}/{self._poster_path.name}",
            width=self._size[0],
            height=self._size[1],
            fps=self._fps,
            n_frames=self._n_frames,
            duration_s=self._n_frames / self._fps,
            size_bytes=size_bytes,
        )
