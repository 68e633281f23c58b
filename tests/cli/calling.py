"""Commands, called in this process or started in one of their own."""

import subprocess
from io import StringIO
from pathlib import Path

from django.core.management import call_command

from tests import commands

TINY = (
    "-n",
    "256",
    "-params",
    "n_steps:64",
    "batch_size:32",
    "n_epochs:1",
    "net_arch:[8]",
)


def manage(home: Path, *arguments: str, code: int = 0) -> "subprocess.CompletedProcess[str]":
    """Run a command in a process of its own, in a data directory of this test's own."""
    done = commands.manage(home, *arguments)
    assert done.returncode == code, done.stderr
    return done


def call(name: str, *arguments: str) -> str:
    out = StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()
