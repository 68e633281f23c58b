"""What nobody plans for: no memory left, the queue's file deleted, the clock set."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live_stack import LiveStack, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

HOUR_S = 3600.0
CLOCK = Path(__file__).parent / "clock"


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LiveStack]:
    with LiveStack(tmp_path / "home") as stack:
        yield stack


def test_a_run_out_of_memory_fails_alone_and_says_so(stack: LiveStack) -> None:
    hungry = stack.manage(
        "train", "--queue", "--algo", "a2c", "--env", "tests.chaos.hungry:Hungry-v0", "-n", "9000"
    )
    modest = stack.launch(timesteps=2000)
    failed = stack.wait_for(hungry["id"], "failed")
    assert "MemoryError" in failed["error"]
    assert "MemoryError" in failed["status_reason"]
    stack.wait_for(modest["id"], "completed")
    stack.assert_nothing_is_left()


def test_the_queue_s_file_may_be_deleted(stack: LiveStack) -> None:
    first = stack.launch(timesteps=60_000)
    stack.wait_for_training(first["id"])
    files = list(stack.home.glob("queue.sqlite3*"))
    assert files
    for path in files:
        path.unlink()
    second = stack.launch(timesteps=2000)
    for run in (first, second):
        ended = stack.wait_for(run["id"], "completed")
        assert ended["attempt"] == 1
    stack.assert_nothing_is_left()


def test_a_clock_that_is_set_ends_no_run_and_hides_no_death(tmp_path: Path) -> None:
    with LiveStack(tmp_path / "home", PYTHONPATH=str(CLOCK)) as stack:
        run = stack.launch(**{"save-freq": 2000})
        log = stack.wait_for_training(run["id"])

        def set_clock(shift_s: float) -> None:
            """Shift the clock, and wait until the log was written under the new time."""
            began_at = last_time(log)
            # Whole at once: who reads half a number stops following.
            (stack.home / "clock.new").write_text(str(shift_s))
            (stack.home / "clock.new").replace(stack.home / "clock")
            wait_until(lambda: abs(last_time(log) - began_at) > HOUR_S / 2, 20, "a line")
            size = log.stat().st_size
            wait_until(lambda: log.stat().st_size > size, 20, "training to go on")

        for shift_s in (HOUR_S, -HOUR_S, 24 * HOUR_S):
            set_clock(shift_s)
        assert stack.run(run["id"])["status"] == "running"
        assert stack.run(run["id"])["attempt"] == 1
        os.kill(stack.trainer_pid(run["id"]), signal.SIGKILL)
        wait_until(lambda: b'"attempt":2' in log.read_bytes(), 30, "the run to go on")
        stack.manage("stop", run["id"])
        stack.wait_for(run["id"], "stopped")
        stack.assert_nothing_is_left()
    assert max(speeds(log)) < 100_000


def speeds(log: Path) -> list[float]:
    """Steps a second, as the library says in the log."""
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    values = [line["values"] for line in lines if line["type"] == "metrics"]
    return [value["time/fps"] for value in values if "time/fps" in value]


def last_time(log: Path) -> float:
    """Unix seconds of the log's last whole line."""
    return float(json.loads(log.read_bytes().rpartition(b"\n")[0].rpartition(b"\n")[2])["t"])
