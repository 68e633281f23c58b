"""Packages that something needs: are they there, and what brings them here."""

import importlib.util
import shlex
import sys


def is_there(package: str) -> bool:
    """Return whether a top-level package can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def install_command(requirement: str) -> str:
    """Return the command that brings a requirement to the interpreter that runs this."""
    return shlex.join([sys.executable, "-m", "pip", "install", requirement])


REQUIREMENT = "tensorboard>=2.21,<3"


def missing() -> str:
    """Say what to do where TensorBoard is not installed; empty where it is."""
    if is_there("tensorboard"):
        return ""
    install = install_command(REQUIREMENT)
    return f"true is not allowed: TensorBoard is not installed here; type {install}"
