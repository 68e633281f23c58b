"""Trainer processes, spoken to as a supervisor does."""

import json
import os
import subprocess
import sys
import time
from typing import Any

import pytest

from apps.rundir.directory import RunDirectory
from tests.builders import events_of

ENVIRONMENT = {name: value for name, value in os.environ.items() if "DJANGO" not in name}


def start(*flags: str, is_leader: bool = False) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [sys.executable, "-m", "apps.engine", *flags],
        start_new_session=is_leader,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=ENVIRONMENT,
    )


def send(process: "subprocess.Popen[bytes]", message: dict[str, Any]) -> None:
    assert process.stdin is not None
    process.stdin.write(json.dumps(message).encode() + b"\n")
    process.stdin.flush()


def run_one(message: dict[str, Any] | bytes) -> tuple[int, dict[str, Any]]:
    line = message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"
    done = subprocess.run(
        [sys.executable, "-m", "apps.engine"],
        input=line,
        capture_output=True,
        env=ENVIRONMENT,
        check=False,
        timeout=60,
    )
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def wait_for_training(directory: RunDirectory, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        if directory.log.exists() and len(events_of(directory)) > 5:
            return
        time.sleep(0.05)
    pytest.fail(f"no training: {process.communicate()}")
