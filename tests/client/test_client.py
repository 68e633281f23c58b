"""The client: it never stands in the way of a training loop, and each row arrives once."""

import argparse
import json
import logging
import math
import multiprocessing
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.client import rlgym_client
from apps.client.rlgym_client import Away, Refused, Run, send_file
from tests.client.fake_server import FakeServer, begin, wait_until

FOLDER = Path(rlgym_client.__file__).parent


def rows_of(server: FakeServer) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "t"}
        for _, row in sorted(server.rows.items())
    ]


def test_it_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import rlgym_client; "
        "foreign = {'apps', 'django', 'numpy', 'torch'} & set(sys.modules); "
        "print(sorted(foreign), 'site' in sys.modules)"
    )
    command = [sys.executable, "-I", "-S", "-W", "error", "-c", code, str(FOLDER)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[] False", "")


def test_a_run_is_begun_with_what_the_script_is_called_with(server: FakeServer) -> None:
    config = argparse.Namespace(
        lr=np.float32(0.5), seed=3, layers=(8, 8), path=Path("a"), x=math.inf
    )
    run = begin(server, name="mine", environment="CartPole-v1", config=config, total_timesteps=9)
    run.finish()
    (begun,) = server.begun.values()
    assert begun["config"] == {"lr": 0.5, "seed": 3, "layers": [8, 8], "path": "a", "x": "inf"}
    assert (begun["name"], begun["environment"], begun["total_timesteps"]) == (
        "mine",
        "CartPole-v1",
        9,
    )
    assert begun["id"] == run.id
    assert begun["pid"] > 0
    assert begun["provenance"]["command"]
    assert server.ends == {run.id: {"status": "completed", "reason": "", "error": ""}}


class Tensor:
    """What a library's number looks like from outside."""

    def __init__(self, *values: float) -> None:
        self.values = values

    def item(self) -> float:
        if len(self.values) != 1:
            raise RuntimeError("a Tensor with 2 elements cannot be converted to Scalar")
        return self.values[0]


def test_numbers_of_other_libraries_arrive_and_what_is_none_is_left_out(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    with begin(server) as run:
        run.log(
            {
                "float": 0.5,
                "int": 2,
                "bool": True,
                "f32": np.float32(0.25),
                "i8": np.int8(3),
                "array": np.array([4.0]),
                "tensor": Tensor(1.5),
                "nan": math.nan,
                "inf": np.float64("-inf"),
                "huge": 10**400,
                "text": "3",
                "two": Tensor(1.0, 2.0),
                "none": None,
                "list": [1],
            },
            step=np.int64(7),
        )
        run.log({"only": "text"}, step=8)
        run.log(None, step=8)  # type: ignore[arg-type]
        run.log({"a": 1}, step=-1)
        run.log({"a": 1}, step="x")  # type: ignore[arg-type]
        run.log_episode("x", None)
        run.log_video(None)  # type: ignore[arg-type]
    (row,) = rows_of(server)
    assert row == {
        "step": 7,
        "values": {
            "float": 0.5,
            "int": 2,
            "bool": 1,
            "f32": 0.25,
            "i8": 3,
            "array": 4.0,
            "tensor": 1.5,
            "nan": "nan",
            "inf": "-inf",
        },
    }
    for name in ("huge", "text", "two", "none", "list"):
        assert f"{name} is not logged" in caplog.text


def test_scalars_of_one_step_share_a_row_and_other_rows_keep_their_order(
    server: FakeServer,
) -> None:
    with begin(server) as run:
        run._wake.clear()
        with run._lock:  # The thread takes nothing meanwhile.
            pass
        run.add_scalar("a", 1.0, 5)
        run.add_scalar("b", 2.0, 5)
        run.add_scalar("a", 3.0, 5)
        run.log_episode(9.0, 4, step=6, env=1)
        run.log_evaluation([1.0, 2.0], step=6, lengths=[3, 4], seed=5)
        run.log({"c": 1.0})
        run.log({"c": 2.0})
    merged: dict[tuple[int, str], float] = {}
    for row in rows_of(server):
        merged.update({(row["step"], key): value for key, value in row.get("values", {}).items()})
    assert merged == {(5, "a"): 3.0, (5, "b"): 2.0, (7, "c"): 1.0, (8, "c"): 2.0}
    episode, evaluation = (row for row in rows_of(server) if "type" in row)
    assert episode == {"type": "episode", "return": 9.0, "length": 4, "env": 1, "step": 6}
    assert evaluation == {
        "type": "evaluation",
        "returns": [1.0, 2.0],
        "lengths": [3, 4],
        "seed": 5,
        "step": 6,
    }


def test_rows_wait_while_the_server_fails_and_arrive_once(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rlgym_client, "MAX_MEMORY_ROWS", 50)
    monkeypatch.setattr(rlgym_client, "BATCH_ROWS", 40)
    server.status = 500
    with begin(server) as run:
        for step in range(500):
            run.log({"a": step}, step)
        wait_until(lambda: list(tmp_path.glob("*.jsonl")), "rows to wait in a file")
        server.status = 503
        server.headers = {"Retry-After": "0"}
        for step in range(500, 600):
            run.log({"a": step}, step)
        asked = len(server.requests)
        wait_until(lambda: len(server.requests) > asked, "another try")
        server.status = 200
        wait_until(lambda: len(server.rows) > 100, "rows to arrive")
        for step in range(600, 700):
            run.log({"a": step}, step)
    assert server.steps == list(range(700))
    assert len({writer for writer, _ in server.rows}) == 1
    assert sorted(number for _, number in server.rows) == list(range(1, 701))
    assert not list(tmp_path.iterdir())
    assert server.ends[run.id]["status"] == "completed"


@pytest.mark.parametrize("status", [0, 500])
def test_neither_the_loop_nor_its_end_waits_for_a_server_that_hangs_or_fails(
    server: FakeServer, status: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.status = status
    run = begin(server)
    wait_until(lambda: server.requests, "the first try")
    for step in range(2000):
        run.log({"a": 1.0, "b": 2.0}, step)
    run.log_video(tmp_path / "film.mp4", 3)
    run.finish(timeout_s=0.1)
    # All of it while a request hung that is never answered.
    assert server.n_hanging == (1 if status == 0 else 0)
    (file,) = tmp_path.glob("*.jsonl")
    assert "2000 rows of run" in caplog.text
    assert "film.mp4 was not sent" in caplog.text
    assert file.stat().st_mode & 0o077 == 0
    server.status = 200
    server.is_over.set()
    assert send_file(file, "rlgym_t") == 2000
    assert server.steps == list(range(2000))
    assert server.ends[run.id]["status"] == "completed"
    assert not file.exists()


def test_a_file_that_a_killed_script_left_is_sent_but_for_its_torn_line(
    server: FakeServer, tmp_path: Path
) -> None:
    head = {"url": server.url, "begin": {"id": "k3v9mpt2xa"}, "writer": "w", "seq": 7}
    rows = [{"step": step, "values": {"a": 1}} for step in (1, 2)]
    text = "\n".join(json.dumps(line) for line in (head, *rows)) + '\n{"step": 3, "val'
    file = tmp_path / "left.jsonl"
    file.write_text(text)
    server.status = 500
    with pytest.raises(Away):
        send_file(file)
    server.status = 401
    with pytest.raises(Refused):
        send_file(file)
    assert file.exists()
    server.status = 200
    assert send_file(file) == 2
    assert sorted(server.rows) == [("w", 7), ("w", 8)]
    assert server.ends == {}


def test_a_run_that_is_refused_is_over_and_what_was_logged_is_kept(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server.status = 401
    with begin(server) as run:
        run.log({"a": 1}, 1)
        wait_until(lambda: run._is_refused, "the refusal")
        run.log({"a": 2}, 2)
    assert "cannot be logged any more: 401" in caplog.text
    (file,) = tmp_path.glob("*.jsonl")
    assert len(file.read_text().splitlines()) == 4


def test_one_row_that_the_server_cannot_read_takes_no_other_with_it(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = FakeServer.take

    def picky(self: FakeServer, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        return (400, {"detail": "no JSON"}) if b'"poison"' in body else take(self, path, body)

    monkeypatch.setattr(FakeServer, "take", picky)
    with begin(server) as run:
        for step in range(30):
            run.log({"poison" if step == 17 else "a": 1.0}, step)
    assert server.steps == [step for step in range(30) if step != 17]


def test_a_script_hears_that_it_is_to_stop(server: FakeServer) -> None:
    server.stop = "Stopped by its user."
    with begin(server) as run:
        assert not run.should_stop
        run.log({"a": 1}, 1)
        wait_until(lambda: run.should_stop, "the word")
    assert run.stop_reason == "Stopped by its user."
    assert server.ends[run.id]["status"] == "stopped"


def test_a_film_is_sent_and_one_that_is_not_there_is_told(
    server: FakeServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = tmp_path / "film.mp4"
    film.write_bytes(b"0123" * 100_000)
    with begin(server) as run:
        run.log_video(film, 40)
        run.log_video(tmp_path / "none.mp4", 50)
    assert server.films == [b"0123" * 100_000]
    assert any(path.endswith(f"/{run.id}/videos?step=40") for path in server.requests)
    assert "none.mp4 is not sent" in caplog.text


def test_what_is_logged_after_the_end_is_told_to_be_lost(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    run = begin(server)
    run.finish()
    run.finish("failed")
    run.log({"a": 1})
    assert "the run has ended" in caplog.text
    assert server.ends[run.id]["status"] == "completed"


ENDINGS = {
    "pass": ("completed", ""),
    "raise ValueError('boom')": ("failed", "ValueError: boom"),
    "raise KeyboardInterrupt": ("stopped", "Interrupted."),
    "rlgym_client.finish('stopped', 'Enough.')": ("stopped", "Enough."),
    "sys.exit(0)": ("completed", ""),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_however_a_script_ends_its_rows_and_its_ending_arrive(
    server: FakeServer, ending: str
) -> None:
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import rlgym_client\n"
        "rlgym_client.init(url=sys.argv[2])\n"
        "rlgym_client.log({'a': 1}, 3)\n" + ending
    )
    command = [sys.executable, "-I", "-c", code, str(FOLDER), server.url]
    subprocess.run(command, check=False, capture_output=True, timeout=60)
    assert server.steps == [3]
    ((said),) = server.ends.values()
    assert (said["status"], said["reason"]) == ENDINGS[ending]
    assert ("boom" in said["error"]) is ("boom" in ending)


def test_a_with_block_that_fails_marks_the_run_and_passes_the_error_on(server: FakeServer) -> None:
    with pytest.raises(ZeroDivisionError), begin(server) as run:
        run.log({"a": 1 / 0})
    assert server.ends[run.id]["status"] == "failed"
    assert server.ends[run.id]["reason"] == "ZeroDivisionError: division by zero"


def log_in_child(run: Run, step: int) -> None:
    run.log({"child": step}, step)


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_processes_of_a_script_log_each_for_itself(server: FakeServer, method: str) -> None:
    context = multiprocessing.get_context(method)
    with begin(server) as run:
        run.log({"parent": 0}, 0)
        children = [context.Process(target=log_in_child, args=(run, n)) for n in (1, 2)]
        for child in children:
            child.start()
        for child in children:
            child.join(60)
            assert child.exitcode == 0
        run.log({"parent": 3}, 3)
    assert sorted(server.steps) == [0, 1, 2, 3]
    assert len({writer for writer, _ in server.rows}) == 3
    assert server.ends.keys() == {run.id}


def test_another_process_may_attach_to_a_run_by_its_id(server: FakeServer) -> None:
    run = rlgym_client.attach("k3v9mpt2xa", server.url, "t")
    run.log({"a": 1}, 1)
    run.finish()
    assert server.steps == [1]
    assert (server.begun, server.ends) == ({}, {})


def test_a_disk_that_is_full_costs_the_oldest_rows_and_says_so(
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(rlgym_client, "MAX_MEMORY_ROWS", 50)
    monkeypatch.setattr(rlgym_client, "MAX_UNFILED_ROWS", 50)
    monkeypatch.setattr(rlgym_client, "SPILL_EVERY", 1)
    server.status = 500
    (tmp_path / "file").touch()
    run = begin(server, spool=str(tmp_path / "file" / "folder"))
    for step in range(80):
        run.log({"a": step}, step)
    wait_until(lambda: run._outbox.n_dropped, "rows to be given up")
    server.status = 200
    run.finish()
    dropped = run._outbox.n_dropped
    assert server.steps == list(range(dropped, 80))
    assert f"{dropped} rows were lost" in caplog.text
    assert logging.getLogger("rlgym_client").level == logging.NOTSET
