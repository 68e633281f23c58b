"""Commands of `manage.py` in processes that need not first import what all of them need.

A command is a process of its own with a data directory, an environment and an output of its own.
It is forked from an interpreter that has imported the libraries of others, and those modules of
the engine that know no setting; Django's settings and our apps are imported in the command's
process, as ever. Tests give commands by the hundred, and most of a command's two seconds are such
imports. What these print themselves is seen where tests start an interpreter: `up`, `worker`, and
the first command on a fresh machine.
"""

import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
from functools import cache
from importlib import import_module
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parent.parent
# Not all: some read Django's settings as they are imported.
IMPORTED = (
    "autobahn.websocket.protocol",
    "channels",
    "cryptography.x509",
    "django.contrib.admin.options",
    "django.core.management",
    "django.core.serializers.json",
    "django.db.backends.sqlite3.base",
    "django.db.migrations.executor",
    "django.template.defaulttags",
    "django.test",
    "huey.consumer",
    "numpy",
    "orjson",
    "psutil",
    "pydantic",
    "rich.console",
    "rich.progress",
    "rich.table",
    "twisted.internet.asyncioreactor",
    "twisted.internet.tcp",
    "twisted.web.http",
    "yaml",
    "gymnasium",
    "apps.catalogue.presets.presets",
)
commands = Lock()  # One at a time.


def manage(
    home: Path, *arguments: str, timeout_s: float = 120, **variables: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command in a data directory; return its exit code and what it printed."""
    environment = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    environment |= {"RLGYM_HOME": str(home), **variables}
    if "PYTHONPATH" in variables:  # What is on it may be for the interpreter itself.
        return subprocess.run(
            [sys.executable, "manage.py", *arguments],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    with tempfile.TemporaryDirectory() as folder, commands:
        streams = [f"{folder}/stdout", f"{folder}/stderr"]
        order = {"arguments": arguments, "environment": environment, "streams": streams}
        interpreter = ready_interpreter()
        assert interpreter.stdin is not None
        assert interpreter.stdout is not None
        interpreter.stdin.write(json.dumps({**order, "timeout_s": timeout_s}) + "\n")
        interpreter.stdin.flush()
        code = json.loads(interpreter.stdout.readline())
        out, err = (Path(stream).read_text() for stream in streams)
    assert code != -signal.SIGALRM, f"{arguments} did not end within {timeout_s:.0f} s"
    return subprocess.CompletedProcess(arguments, code, out, err)


@cache
def ready_interpreter() -> "subprocess.Popen[str]":
    """Start the interpreter that commands are forked from; it ends with this process."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.commands"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def serve() -> None:
    """Import what may be, then carry out one command a line, and tell its exit code."""
    for name in IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()  # Else the first collection of each command copies all of it.
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if not child:
            return become(**order)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def become(
    arguments: list[str], environment: dict[str, str], streams: list[str], timeout_s: float
) -> None:
    """Be `manage.py` from here on."""
    for fd, path in enumerate(streams, start=1):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, fd)
        os.close(file)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.environ.clear()
    os.environ.update(environment)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    sys.argv = ["manage.py", *arguments]
    runpy.run_path("manage.py", run_name="__main__")


if __name__ == "__main__":
    serve()
