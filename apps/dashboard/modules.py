"""What scripts call each other: the import map that every page begins with.

A script imports `lib/format`, never an address: where a file is served, and under which hashed
name, is known here alone.
"""

from functools import cache
from pathlib import Path

from django.templatetags.static import static

SCRIPTS = Path(__file__).parent / "static" / "dashboard"
# What other scripts may import; a page's own script is imported by nobody.
SHARED = ("lib", "parts")


@cache
def import_map() -> dict[str, dict[str, str]]:
    """Return the import map: the address of every shared script by its folder and name."""
    paths = sorted(path for folder in SHARED for path in (SCRIPTS / folder).glob("*.js"))
    names = [f"{path.parent.name}/{path.stem}" for path in paths]
    return {"imports": {name: static(f"dashboard/{name}.js") for name in names}}
