"""Where a run came from: command, code, packages, host, device."""

import hashlib
import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Collection
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

PACKAGES = ("rlgym", "stable-baselines3", "gymnasium", "torch", "numpy")
CHECKOUT = Path(__file__).resolve().parents[2]


def code_state() -> dict[str, Any]:
    """Return the git commit of the running code and a hash of what differs from it.

    Values are None outside a git checkout or without git.
    """
    commit = _git("rev-parse", "HEAD")
    difference = _git("diff", "HEAD") if commit else None
    is_clean = difference == ""
    return {
        "git_commit": commit,
        "git_is_clean": is_clean if commit else None,
        "git_diff_sha256": (
            hashlib.sha256(difference.encode()).hexdigest() if difference else None
        ),
    }


def package_versions(more: Collection[str] = ()) -> dict[str, str]:
    """Return the installed versions of the packages that decide what a run computes.

    Args:
        more: Names of packages beside those that every run needs.
    """
    versions = {}
    for name in dict.fromkeys((*PACKAGES, *more)):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return versions


def host() -> dict[str, Any]:
    """Return what machine and interpreter this is."""
    return {
        "host": socket.gethostname(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "python": platform.python_version(),
        "executable": sys.executable,
    }


def now() -> str:
    """Return the present time in UTC, ISO 8601."""
    return datetime.now(UTC).isoformat()


def _git(*arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    done = subprocess.run(
        [git, "-C", str(CHECKOUT), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None
