"""Terminals that are killed while they train, on a machine where no worker lives."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.cli.calling import TINY, manage
from tests.live_stack import wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(600)]
QUIET = ("--eval-episodes", "1", "--no-video")


def json_of(home: Path, *arguments: str) -> Any:
    return json.loads(manage(home, *arguments, "--json").stdout)


def killed_run(home: Path) -> str:
    """Train in a terminal, kill it (-9) after a checkpoint, and return the run's id."""
    arguments = ("train", *TINY, "-n", "12000", "--save-freq", "256", *QUIET)
    terminal = subprocess.Popen(
        [sys.executable, "manage.py", *arguments],
        env={**os.environ, "RLGYM_HOME": str(home), "DJANGO_SETTINGS_MODULE": "rlgym.settings"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    runs = home / "media" / "runs"
    wait_until(lambda: list(runs.glob("*/checkpoints/*/manifest.json")), 120, "a checkpoint")
    (directory,) = runs.iterdir()
    assert psutil.pid_exists(int((directory / "lock").read_text()))
    terminal.send_signal(signal.SIGKILL)
    terminal.wait()
    return directory.name


def attempts_of(home: Path, run: str) -> list[dict[str, Any]]:
    log = home / "media" / "runs" / run / "metrics.jsonl"
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    return [line for line in lines if line["type"] == "attempt"]


def test_a_killed_terminal_s_run_is_resumed_in_another_one_at_once(tmp_path: Path) -> None:
    run = killed_run(tmp_path)
    done = json_of(tmp_path, "resume", run, "--here")
    assert (done["status"], done["fidelity"], done["step"] >= 12_000) == (
        "completed",
        "exact",
        True,
    )
    (attempt,) = attempts_of(tmp_path, run)
    assert (attempt["attempt"], attempt["from_step"] > 0) == (2, True)
    (evaluation,) = json_of(tmp_path, "run", run)["evaluations"]
    assert evaluation["status"] == "completed"


def test_without_a_worker_it_is_lost_and_each_verb_goes_on_here(tmp_path: Path) -> None:
    run = killed_run(tmp_path)
    lock = tmp_path / "media" / "runs" / run / "lock"
    trainer = int(lock.read_text())
    wait_until(lambda: not psutil.pid_exists(trainer), 20, "the trainer to end")
    (listed,) = json_of(tmp_path, "runs")
    assert listed["status"] == "lost"
    queued = manage(tmp_path, "resume", run)
    assert "no worker is alive" in queued.stderr
    assert f"resume {run} --here" in queued.stderr
    stopped = json_of(tmp_path, "stop", run)
    assert stopped["status"] == "stopped"
    branched = json_of(tmp_path, "branch", run, "-n", str(listed["step"] + 64), "--here")
    assert (branched["status"], branched["relation"]) == ("completed", "branch")
    more = json_of(tmp_path, "continue", branched["id"], "-n", "64", "--here")
    assert (more["status"], more["fidelity"]) == ("completed", "exact")
    tiny = json_of(tmp_path, "train", *TINY, *QUIET)
    for verb in ("retry", "reproduce"):
        again = json_of(tmp_path, verb, tiny["id"], "--here")
        assert (again["status"], again["relation"]) == ("completed", verb)
        assert again["return_mean"] == tiny["return_mean"]
    bar = manage(tmp_path, "continue", tiny["id"], "-n", "64", "--here")
    assert "completed, from step 256" in bar.stdout
    assert "steps/s" in bar.stderr
