"""The files of a Python module, found without importing it: has somebody changed them?"""

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

MAX_FILES = 2000


def fingerprint(module: str, folder: Path) -> str:
    """Return a key that changes when a module's package, Python or Gymnasium does.

    Args:
        module: Dotted name; the whole package that it belongs to counts.
        folder: Where it is looked for besides the import path.
    """
    digest = hashlib.sha256(f"{sys.version} {version('gymnasium')} {module}".encode())
    for file in _files(module.partition(".")[0], folder):
        try:
            state = file.stat()
        except FileNotFoundError:
            continue
        digest.update(f"{file} {state.st_mtime_ns} {state.st_size}".encode())
    return digest.hexdigest()[:32]


def _files(package: str, folder: Path) -> Iterator[Path]:
    """Yield the source files of a top-level module or package, sorted; none when it is missing."""
    try:
        found = importlib.util.find_spec(package)
    except ValueError:  # A module that was run as a script has no spec.
        return
    places = [Path(place) for place in (found and found.submodule_search_locations) or ()]
    if found and not places:
        yield Path(found.origin or "")
    if found is None:
        yield folder / f"{package}.py"
        places = [folder / package]
    for place in places:
        yield from sorted(place.rglob("*.py"))[:MAX_FILES]
