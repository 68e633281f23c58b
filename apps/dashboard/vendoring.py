"""Fetch the one third-party script that the pages need; its files are committed.

Run `python -m apps.dashboard.vendoring` after changing the version here. The tarball comes from
whatever registry npm is configured with, so its integrity is checked against the value below.
"""

import base64
import hashlib
import subprocess
import tarfile
import tempfile
from pathlib import Path

PACKAGE = "uplot@1.6.32"
INTEGRITY = (
    "sha512-KIMVnG68zvu5XXUbC4LQEPnhwOxBuLyW1AHtpm6IKTXImkbLgkMy"
    "+jabjLgSLMasNuGGzQm/ep3tOkyTxpiQIw=="
)
TARGET = Path(__file__).parent / "static" / "dashboard" / "vendor"
FILES = {
    "package/dist/uPlot.iife.min.js": "uPlot.iife.min.js",
    "package/dist/uPlot.min.css": "uPlot.min.css",
    "package/LICENSE": "uPlot.LICENSE",
}


def integrity_of(data: bytes) -> str:
    """Return the subresource integrity of bytes, as npm writes it."""
    return "sha512-" + base64.b64encode(hashlib.sha512(data).digest()).decode()


def fetch(folder: Path) -> Path:
    """Download the package's tarball into a folder and check it.

    Raises:
        ValueError: It is not the file that was reviewed.
    """
    subprocess.run(["npm", "pack", PACKAGE, "--silent"], cwd=folder, check=True)
    tarball = next(folder.glob("*.tgz"))
    found = integrity_of(tarball.read_bytes())
    if found != INTEGRITY:
        raise ValueError(f"{PACKAGE} has integrity {found}, expected {INTEGRITY}")
    return tarball


def vendor() -> None:
    """Replace the vendored files by those of the checked tarball."""
    TARGET.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(fetch(Path(folder))) as archive:
        for name, file_name in FILES.items():
            member = archive.extractfile(name)
            if member is None:
                raise ValueError(f"{PACKAGE} has no file {name}")
            (TARGET / file_name).write_bytes(member.read())


if __name__ == "__main__":
    vendor()
