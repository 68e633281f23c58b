"""What nobody plans for: no memory or disk left, files deleted or damaged, the clock set."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from apps.jobs.worker.watchdog import RING_INTERVAL_S
from tests.full_disk import empty, fill, small_disk
from tests.live_stack import LiveStack, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

HOUR_S = 3600.0
CLOCK = Path(__file__).parent / "clock"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack that outlives one disaster after the other."""
    with LiveStack(tmp_path_factory.mktemp("stack") / "home") as stack:
        yield stack


def test_a_run_out_of_memory_fails_alone_and_says_so(stack: LiveStack) -> None:
    hungry = stack.manage(
        "train", "--queue", "--algo", "a2c", "--env", "tests.worlds.hungry:Hungry-v0", "-n", "9000"
    )
    modest = stack.launch(timesteps=2000)
    failed = stack.wait_for(hungry["id"], "failed")
    assert "MemoryError" in failed["error"]
    assert "MemoryError" in failed["status_reason"]
    stack.wait_for(modest["id"], "completed")
    stack.assert_nothing_is_left()


def test_the_queue_s_file_may_be_deleted(stack: LiveStack) -> None:
    first = stack.launch(timesteps=20_000)
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
        now = stack.run(run["id"])
        assert (now["status"], now["attempt"]) == ("running", 1)
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


def test_a_run_directory_deleted_while_it_trains_ends_that_run_and_no_worker(
    stack: LiveStack,
) -> None:
    doomed = stack.launch()
    stack.wait_for_training(doomed["id"])
    workers = [process.pid for process in stack.find("manage.py worker")]
    shutil.rmtree(stack.home / "media" / "runs" / doomed["id"])
    ended = stack.wait_for(doomed["id"], "failed", timeout_s=30)
    assert ended["status_reason"].endswith(f"{doomed['id']} is gone")
    assert ended["attempt"] == 1
    following = stack.launch(timesteps=2000)
    assert stack.wait_for(following["id"], "completed")["attempt"] == 1
    assert [process.pid for process in stack.find("manage.py worker")] == workers
    stack.assert_nothing_is_left()


def test_runs_wait_for_a_full_disk_and_the_worker_lives(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk, LiveStack(disk / "home") as stack:
        workers = [process.pid for process in stack.find("manage.py worker")]
        fill(disk, leave_bytes=4 << 20)
        run = stack.launch(timesteps=2000)
        wait_until(lambda: "disk is full" in stack.run(run["id"])["waiting"], 20, "the reason")
        fill(disk)  # Not a byte is left, for a row either.
        time.sleep(2 * RING_INTERVAL_S)  # The worker is told of what waits, again and again.
        assert stack.run(run["id"])["status"] == "queued"
        empty(disk)
        ended = stack.wait_for(run["id"], "completed")
        assert ended["attempt"] == 1
        assert [process.pid for process in stack.find("manage.py worker")] == workers
        stack.assert_nothing_is_left()


def test_a_disk_that_fills_while_a_run_trains_ends_neither_worker_nor_run(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as disk, LiveStack(disk / "home") as stack:
        workers = [process.pid for process in stack.find("manage.py worker")]
        run = stack.launch()
        log = stack.wait_for_training(run["id"])
        trainer = stack.trainer_pid(run["id"])
        fill(disk)
        wait_until(lambda: not psutil.pid_exists(trainer), 30, "its trainer to have no room")
        time.sleep(2 * RING_INTERVAL_S)  # The worker is told of what waits, again and again.
        empty(disk)
        wait_until(lambda: b'"attempt":2' in log.read_bytes(), 60, "the run to go on")
        stack.wait_for(run["id"], "running")
        stack.manage("stop", run["id"])
        stack.wait_for(run["id"], "stopped")
        following = stack.launch(timesteps=2000)
        stack.wait_for(following["id"], "completed")
        assert [process.pid for process in stack.find("manage.py worker")] == workers
        stack.assert_nothing_is_left()


def test_a_queue_s_file_that_is_deleted_or_damaged_fails_no_request(stack: LiveStack) -> None:
    token = stack.token()
    n_before = len(stack.manage("runs"))
    made = []
    for spoil in (Path.unlink, lambda path: path.write_bytes(b"no database" * 1000)):
        for path in stack.home.glob("queue.sqlite3*"):
            spoil(path)
        spec = {
            "algorithm": "ppo",
            "environment": "CartPole-v1",
            "preset": "high_score",
            "total_timesteps": 2000,
        }
        with stack.request("/api/v1/runs", token, spec) as response:
            assert response.status == 201
            made.append(json.load(response)["id"])
    for run_id in made:
        assert stack.wait_for(run_id, "completed")["attempt"] == 1
    assert len(stack.manage("runs")) == n_before + len(made)
