"""Environments that tests train in."""

from importlib import import_module
from pathlib import Path
from shutil import copy

ODD_WORLDS = Path(__file__).parent / "odd_worlds.py"


def give_odd_worlds(home: Path) -> None:
    """Put the odd worlds where a user's own modules are: `odd_worlds:Pool-v0` and the others."""
    (home / "environments").mkdir(exist_ok=True)
    copy(ODD_WORLDS, home / "environments")


def register() -> None:
    """Make the worlds known that tests name without their module."""
    for name in ("goal_walk", "short_walk"):
        import_module(f"{__name__}.{name}")
