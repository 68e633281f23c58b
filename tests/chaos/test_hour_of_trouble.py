"""An hour in which everything goes wrong: each run ends in its true state, and nothing is left."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from apps.metrics import store
from tests.full_disk import empty, fill, small_disk
from tests.live_stack import APART_S, LiveStack, assert_in_order, wait_until
from tests.worlds import give_odd_worlds

pytestmark = [pytest.mark.chaos, pytest.mark.soak, pytest.mark.timeout(3 * 3600)]

SOAK_S = float(os.environ.get("SOAK_S", "3600"))
DISK_MB = 400
FULL_FOR_S = 8.0
MOST_WAITING = 3
# What is trained over and over: the same spec must show the same episodes, whatever befell it.
KINDS: dict[str, tuple[str, ...]] = {
    "small": ("--algo", "ppo", "-n", "60000", "--save-freq", "4000"),
    "replay": ("--algo", "dqn", "-n", "12000", "--save-freq", "2000"),
    "journal": ("--algo", "ppo", "--env", "odd_worlds:Pool-v0", "-n", "30000"),
}


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, which can be filled."""
    with small_disk(tmp_path / "disk", DISK_MB) as disk:
        yield disk


class Trouble:
    """Everything that may befall a running stack, one thing at a time."""

    def __init__(self, stack: LiveStack, seed: int) -> None:
        self.stack = stack
        self.pick = random.Random(seed)
        self.kinds: dict[str, str] = {}
        self.deleted: set[str] = set()
        self.befell: dict[str, int] = {}

    def launch(self) -> None:
        """Queue a run of a kind at random."""
        kind = self.pick.choice([*KINDS])
        run = self.stack.manage("train", "--queue", *KINDS[kind])
        self.kinds[run["id"]] = kind

    def runs(self, *statuses: str) -> list[dict[str, Any]]:
        """The runs that have one of the statuses."""
        runs: list[dict[str, Any]] = self.stack.manage("runs", "--limit", "1000")
        return [run for run in runs if run["status"] in statuses]

    def strike(self) -> None:
        """Let one thing go wrong."""
        name, blow = self.pick.choice([*self.blows().items()])
        blow()
        self.befell[name] = self.befell.get(name, 0) + 1

    def blows(self) -> dict[str, Callable[[], None]]:
        """What may go wrong."""
        return {
            "a worker is killed": lambda: self.kill("manage.py worker"),
            "the web server is killed": lambda: self.kill("rlgym.server"),
            "a trainer is killed": self.kill_trainer,
            "everything is killed": self.kill_all,
            "the queue is deleted": self.delete_queue,
            "the disk is full": self.fill_disk,
            "a run directory is deleted": self.delete_directory,
            "a run is paused and goes on": self.pause_and_resume,
        }

    def kill(self, words: str) -> None:
        for process in self.stack.find(words):
            with suppress(psutil.NoSuchProcess):
                process.kill()

    def kill_trainer(self) -> None:
        if running := self.runs("running"):
            with suppress(OSError, ValueError):  # It may have ended meanwhile.
                os.kill(self.stack.trainer_pid(self.pick.choice(running)["id"]), signal.SIGKILL)

    def kill_all(self) -> None:
        self.stack.process.kill()
        self.stack.process.wait()
        wait_until(lambda: not self.stack.processes(), 60, "what `up` started to end with it")
        self.stack.start()

    def delete_queue(self) -> None:
        for path in self.stack.home.glob("queue.sqlite3*"):
            path.unlink()

    def fill_disk(self) -> None:
        disk = self.stack.home.parent
        fill(disk)
        time.sleep(FULL_FOR_S)
        empty(disk)

    def delete_directory(self) -> None:
        if len(self.deleted) < 5 and (running := self.runs("running")):
            run_id = running[0]["id"]
            self.deleted.add(run_id)
            shutil.rmtree(self.stack.home / "media" / "runs" / run_id, ignore_errors=True)

    def pause_and_resume(self) -> None:
        for run in self.runs("running")[:1]:
            with suppress(AssertionError):  # It may end before it can be asked.
                self.stack.manage("pause", run["id"])
                self.stack.wait_for(run["id"], "paused", timeout_s=60)
                self.stack.manage("resume", run["id"])


def test_whatever_befalls_it_each_run_ends_in_its_true_state(disk: Path, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    stack = LiveStack(
        disk / "home",
        TMPDIR=str(temporary),
        RLGYM_MAX_ATTEMPTS="1000",
        RLGYM_KEEP_CHECKPOINTS="1",
        RLGYM_WARM_TRAINER="1",
    )
    give_odd_worlds(stack.home)
    with stack:
        trouble = Trouble(stack, seed=int(SOAK_S))
        ends_at = time.monotonic() + SOAK_S
        while time.monotonic() < ends_at:
            while len(trouble.runs("queued", "running")) < MOST_WAITING:
                trouble.launch()
            time.sleep(APART_S + trouble.pick.uniform(0, 5))
            trouble.strike()
        print(trouble.befell)  # noqa: T201 - what the hour held
        settle(trouble)
        judge(trouble)
        stack.assert_nothing_is_left()
    assert not stack.processes()
    assert not [path.name for path in temporary.iterdir()]


def settle(trouble: Trouble) -> None:
    """Wait until nothing waits or runs any more, evaluations and videos included."""
    wait_until(lambda: not trouble.runs("queued", "running", "paused"), 900, "every run to end")
    for run in trouble.runs("completed"):
        trouble.stack.manage("run", run["id"])
    wait_until(lambda: not pending(trouble), 900, "what follows the runs", interval_s=2)


def pending(trouble: Trouble) -> list[Any]:
    """Evaluations and videos that wait or are made."""
    found: list[Any] = []
    for status in ("queued", "running"):
        found += trouble.stack.manage("evaluations", "--status", status)
    return found


def judge(trouble: Trouble) -> None:
    """Fail when a run is said to be what it is not."""
    episodes: dict[str, list[tuple[int, float]]] = {}
    listed = {run["id"]: run for run in trouble.runs("completed", "failed", "lost", "stopped")}
    assert set(trouble.kinds) <= set(listed)
    for run_id, kind in trouble.kinds.items():
        run = trouble.stack.run(run_id)
        if run_id in trouble.deleted and run["status"] != "completed":
            assert run["status"] == "failed", run
            assert "directory" in run["status_reason"], run
            continue
        if run_id in trouble.deleted:
            continue  # It had ended before its directory went.
        assert run["status"] == "completed", run
        log = trouble.stack.home / "media" / "runs" / run_id / "metrics.jsonl"
        seen = [*store.visible_events(log)]
        assert seen[-1]["type"] in {"status", "evaluation", "video", "film", "checkpoint"}
        lines = [json.loads(line) for line in log.read_bytes().splitlines()]
        assert_goes_on_exactly(lines, run_id)
        assert_in_order(lines)
        told = [(e["step"], e["return"]) for e in seen if e["type"] == "episode"]
        assert told == episodes.setdefault(kind, told), f"{run_id} differs from its like"
        if not any(e["type"] == "evaluation" for e in seen):
            # What is killed three times is given up, and says so.
            reasons = [one["error"] for one in run["evaluations"]]
            assert reasons == ["Its worker vanished three times."], (run_id, run["evaluations"])


def assert_goes_on_exactly(lines: list[dict[str, Any]], run_id: str) -> None:
    """Fail when an attempt started over although there was a checkpoint to go on from."""
    has_checkpoint = False
    for line in lines:
        if line["type"] == "attempt":
            allowed = {"exact"} if has_checkpoint else {"exact", "fresh"}
            assert line["fidelity"] in allowed, (run_id, line)
        has_checkpoint |= line["type"] == "checkpoint"
