"""Films of others."""

import subprocess
from pathlib import Path

import imageio_ffmpeg


def encode(path: Path, *options: str) -> Path:
    """Encode half a second of a test picture."""
    source = ["-f", "lavfi", "-i", "testsrc=size=64x48:rate=10:duration=0.5"]
    exe = imageio_ffmpeg.get_ffmpeg_exe()
    subprocess.run([exe, "-v", "error", "-y", *source, *options, str(path)], check=True)
    return path
