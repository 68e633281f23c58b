"""Kill -9 of trainer, worker, web server; the end of everything in order. Nothing is lost."""

import json
import os
import random
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from websockets import Origin
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection, connect

from tests.live_stack import APART_S, LiveStack, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.slow]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[LiveStack]:
    with LiveStack(tmp_path / "home") as stack:
        yield stack


@pytest.fixture
def warm_stack(tmp_path: Path) -> Iterator[LiveStack]:
    """A stack as users have it, with a trainer in reserve, which has to end as well."""
    with LiveStack(tmp_path / "home", RLGYM_WARM_TRAINER="1") as stack:
        yield stack


@pytest.fixture(scope="module")
def outliving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    """One stack for all that it outlives. It is up to no more than five restarts a minute."""
    with LiveStack(tmp_path_factory.mktemp("stack") / "home") as stack:
        yield stack


def last_status(log: Path) -> str:
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    return str([line["status"] for line in lines if line["type"] == "status"][-1])


def attempts_of(log: Path) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    return [line for line in lines if line["type"] == "attempt"]


def test_a_killed_worker_leaves_no_trainer_and_its_run_goes_on(stack: LiveStack) -> None:
    run = stack.launch(**{"save-freq": 2000})
    log = stack.wait_for_training(run["id"])
    wait_until(lambda: b'"checkpoint"' in log.read_bytes(), 60, "a checkpoint")
    trainer = psutil.Process(stack.trainer_pid(run["id"]))
    (worker,) = stack.find("manage.py worker")
    worker.kill()
    killed_at = time.monotonic()
    wait_until(lambda: not trainer.is_running(), 5, "the trainer to end with its supervisor")
    # `up` brings a new worker, its watchdog finds the run silent, and training goes on.
    wait_until(lambda: attempts_of(log), 30 - (time.monotonic() - killed_at), "another attempt")
    (attempt,) = attempts_of(log)
    assert (attempt["attempt"], attempt["fidelity"]) == (2, "exact")
    assert attempt["from_step"] > 0
    wait_until(lambda: stack.run(run["id"])["status"] == "running", 30, "the run to run again")


def test_a_worker_killed_between_the_end_of_a_run_and_its_row_loses_no_evaluation(
    outliving: LiveStack,
) -> None:
    run = outliving.launch(timesteps=12_000)
    log = outliving.wait_for_training(run["id"])
    (worker,) = outliving.find("manage.py worker")
    worker.suspend()  # It writes no row from here on; its trainer goes on to the end.
    wait_until(lambda: last_status(log) == "completed", 120, "the trainer to end")
    assert outliving.run(run["id"])["status"] == "running"
    worker.kill()
    outliving.wait_for(run["id"], "completed")

    def evaluations() -> list[str]:
        return [one["status"] for one in outliving.run(run["id"])["evaluations"]]

    wait_until(lambda: evaluations() == ["completed"], 120, "what the run asked for")


def test_a_killed_trainer_s_run_goes_on_until_its_tries_are_used_up(outliving: LiveStack) -> None:
    run = outliving.launch(**{"save-freq": 2000})
    log = outliving.wait_for_training(run["id"])
    for nth in (1, 2, 3):
        pid = outliving.trainer_pid(run["id"])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda nth=nth: len(attempts_of(log)) == nth, 30, f"attempt {nth + 1}")
        wait_until(lambda pid=pid: outliving.trainer_pid(run["id"]) != pid, 30, "another trainer")
    os.kill(outliving.trainer_pid(run["id"]), signal.SIGKILL)
    lost = outliving.wait_for(run["id"], "lost", timeout_s=30)
    assert "SIGKILL" in lost["status_reason"]
    assert last_status(log) == "lost"
    steps = [attempt["from_step"] for attempt in attempts_of(log)]
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("n_kills", "apart_s"),
    [(2, 0), pytest.param(50, APART_S, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])],
)
def test_a_killed_web_server_costs_a_stream_no_line_and_repeats_none(
    outliving: LiveStack, n_kills: int, apart_s: float
) -> None:
    token = outliving.token()
    run = outliving.launch()
    pick = random.Random(n_kills)
    killed_at, wait_s = time.monotonic(), 0.0
    log = outliving.wait_for_training(run["id"])
    seen: list[dict[str, object]] = []
    cursor, kills = "0", 0
    while not seen or seen[-1]["type"] != "end":
        try:
            with outliving.request(
                f"/api/v1/runs/{run['id']}/stream", token, **{"Last-Event-ID": cursor}
            ) as stream:
                for line in stream:
                    if line.startswith(b"id: "):
                        cursor_after = line[4:].decode().strip()
                    elif line.startswith(b"data: "):
                        seen += json.loads(line[6:])["events"]
                        cursor = cursor_after
                        is_time = time.monotonic() - killed_at > wait_s
                        if kills < n_kills and len(seen) > 40 * (kills + 1) and is_time:
                            kills += 1
                            (web,) = outliving.find("rlgym.server")
                            web.kill()
                            killed_at = time.monotonic()
                            wait_s = apart_s and apart_s + pick.uniform(0, 1)
                            if kills == n_kills:
                                outliving.manage("stop", run["id"])
        except (OSError, TimeoutError):
            time.sleep(0.2)  # The server is on its way back.
    assert kills == n_kills
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert seen[:-1] == lines


def test_a_killed_web_server_costs_a_socket_no_line_and_a_dashboard_nothing_that_stays(
    outliving: LiveStack,
) -> None:
    headers = {"Authorization": f"Bearer {outliving.token()}"}
    run = outliving.launch()
    log = outliving.wait_for_training(run["id"])
    seen: list[dict[str, Any]] = []
    is_asked_to_stop = False
    shown: list[list[dict[str, Any]]] = []
    cursor, kills = 0, 0

    def open_socket(path: str) -> ClientConnection:
        address = f"ws{outliving.address.removeprefix('http')}/ws/{path}"
        return connect(address, origin=Origin(outliving.address), additional_headers=headers)

    def take(socket: ClientConnection) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(socket.recv(timeout=20))
        with suppress(ConnectionClosed):  # After the last message the server waits for no word.
            socket.send(json.dumps({"ack": message["id"]}))
        return message

    while not seen or seen[-1]["type"] != "end":
        try:
            with (
                open_socket("dashboard/") as dashboard,
                open_socket(f"runs/{run['id']}/?after={cursor}") as socket,
            ):
                shown.append(take(dashboard)["runs"])
                if kills == 2 and not is_asked_to_stop:
                    outliving.manage("stop", run["id"])
                    is_asked_to_stop = True
                while not seen or seen[-1]["type"] != "end":
                    message = take(socket)
                    seen += message["events"]
                    cursor = message["id"]
                    if kills < 2 and len(seen) > 40 * (kills + 1):
                        kills += 1
                        (web,) = outliving.find("rlgym.server")
                        web.kill()
        except (OSError, InvalidHandshake, ConnectionClosed):
            time.sleep(0.2)  # The server is on its way back.
    assert kills == 2
    lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    assert seen[:-1] == lines
    # Each dashboard that came back showed the run as it was by then.
    steps = [row["step"] for rows in shown for row in rows if row["id"] == run["id"]]
    assert len(shown) == len(steps) >= 3
    assert steps == sorted(steps)


def test_the_end_of_everything_saves_and_requeues_the_run_and_leaves_no_process(
    warm_stack: LiveStack,
) -> None:
    run = warm_stack.launch()
    log = warm_stack.wait_for_training(run["id"])
    warm_stack.process.send_signal(signal.SIGINT)
    assert warm_stack.process.wait(timeout=30) == 0
    assert warm_stack.processes() == []
    ended = warm_stack.run(run["id"])
    assert ended["status"] == "queued"
    assert last_status(log) == "queued"
    saved = json.loads((log.parent / "checkpoints" / "manifest.json").read_text())["last"]
    assert saved == ended["step"] > 0
    assert not list(log.parent.rglob("*.tmp*"))


def test_a_killed_up_takes_its_children_along(warm_stack: LiveStack) -> None:
    run = warm_stack.launch()
    warm_stack.wait_for_training(run["id"])
    warm_stack.process.kill()
    wait_until(lambda: not warm_stack.processes(), 30, "web server, worker and trainer to end")
    assert warm_stack.run(run["id"])["status"] == "queued"


def _with_its_film(run: dict[str, Any]) -> dict[str, Any] | None:
    """The run, once its evaluation and the film of it are there."""
    is_done = any(one["video_status"] == "completed" for one in run["evaluations"])
    return run if is_done else None


def test_the_rows_can_be_rebuilt_from_the_directories(stack: LiveStack) -> None:
    run = stack.launch(timesteps=2000)
    stack.wait_for(run["id"], "completed")
    evaluated = wait_until(
        lambda: _with_its_film(stack.run(run["id"])),
        60,
        "the evaluation and its film",
    )
    stack.process.send_signal(signal.SIGTERM)
    stack.process.wait(timeout=30)
    for path in stack.home.glob("db.sqlite3*"):
        path.unlink()
    assert stack.manage("reindex") == {"runs": [run["id"]], "refused": {}}
    rebuilt = stack.run(run["id"])
    times = ("started_at", "finished_at", "steps_per_second")
    assert {k: v for k, v in rebuilt.items() if k not in (*times, "evaluations")} == {
        k: v for k, v in evaluated.items() if k not in (*times, "evaluations")
    }
    ours, theirs = rebuilt["evaluations"][0], evaluated["evaluations"][0]
    assert {**ours, "id": 0} == {**theirs, "id": 0}


def test_a_worker_that_slept_past_its_lease_changes_nothing_when_it_wakes(
    stack: LiveStack,
) -> None:
    run = stack.launch(**{"save-freq": 2000})
    log = stack.wait_for_training(run["id"])
    wait_until(lambda: b'"checkpoint"' in log.read_bytes(), 60, "a checkpoint")
    (sleeper,) = stack.find("manage.py worker")
    trainer = psutil.Process(stack.trainer_pid(run["id"]))
    sleeper.suspend()
    trainer.suspend()
    with stack.another_worker():
        wait_until(lambda: attempts_of(log), 45, "another worker to go on with the run")
        assert not trainer.is_running() or trainer.status() == psutil.STATUS_ZOMBIE
        sleeper.resume()
        time.sleep(3.0)  # Time enough for the sleeper's next beats, which are refused.
        (attempt,) = attempts_of(log)
        assert (attempt["attempt"], attempt["fidelity"]) == (2, "exact")
        assert stack.run(run["id"])["status"] == "running"
        assert stack.run(run["id"])["attempt"] == 2
        # Once the second attempt had begun, nobody wrote points of the first.
        lines = [json.loads(line) for line in log.read_bytes().splitlines()]
        steps = [line["step"] for line in lines[lines.index(attempt) :] if "return" in line]
        assert steps == sorted(steps)
        assert steps[0] > attempt["from_step"]
