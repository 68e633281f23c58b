"""Environments that tests train in."""

from pathlib import Path
from shutil import copy

ODD_WORLDS = Path(__file__).parent / "odd_worlds.py"


def give_odd_worlds(home: Path) -> None:
    """Put the odd worlds where a user's own modules are: `odd_worlds:Pool-v0` and the others."""
    (home / "environments").mkdir(exist_ok=True)
    copy(ODD_WORLDS, home / "environments")
