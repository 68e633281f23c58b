"""The trainer process as anybody may use it: no Django, no database, lines in and lines out."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from apps.engine.__main__ import run_job
from apps.engine.checkpoints import saving
from apps.engine.control import Control
from apps.errors import EngineError
from apps.protocol import messages
from apps.rundir.directory import RunDirectory
from tests.builders import TINY_PPO, events_of
from tests.trainer_processes import ENVIRONMENT, run_one, send, start, wait_for_training
from tests.worlds.misbehaving import is_gone

LONG = {**TINY_PPO, "total_timesteps": 10_000_000}
pytestmark = pytest.mark.slow


def test_a_job_on_stdin_trains_and_evaluates_without_django(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, reply = run_one({"job": "train", "directory": str(folder), "spec": TINY_PPO})
    assert code == 0
    assert reply["reply"] == "done"
    assert reply["result"]["status"] == "completed"
    assert "completed" in (folder / "train.log").read_text()
    code, reply = run_one(
        {
            "job": "evaluate",
            "directory": str(folder),
            "step": 256,
            "name": "eval_x",
            "spec": {"n_episodes": 1, "should_film": False},
        }
    )
    assert code == 0
    assert len(reply["result"]["episodes"]) == 1


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (b"[1]\n", "not an object"),
        (b'{"job": "dance"}\n', "allowed: train, evaluate"),
        (b'{"job": "train"}\n', "lacks 'directory'"),
        (b'{"job": "train", "directory": "/nowhere/at/all"}\n', "does not exist"),
    ],
)
def test_a_bad_job_is_refused_in_words(message: bytes, said: str) -> None:
    with pytest.raises(EngineError) as refused:
        run_job(messages.decode(message, "job"), Control())
    assert said in str(refused.value)


def test_a_refusal_is_replied_and_the_exit_says_so() -> None:
    code, reply = run_one(b"garbage\n")
    assert code == 1
    assert reply["reply"] == "refused"
    assert "not JSON" in reply["message"]


def test_a_bad_spec_is_refused_and_makes_no_directory(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    code, reply = run_one(
        {"job": "train", "directory": str(folder), "spec": {"algorithm": "alchemy"}}
    )
    assert code == 1
    assert "'alchemy' is not an algorithm here" in reply["message"]
    assert not folder.exists()


def test_a_crash_of_the_environment_is_replied_with_its_traceback(tmp_path: Path) -> None:
    module = tmp_path / "breaking.py"
    module.write_text(
        "import gymnasium\n"
        "from gymnasium import spaces\n"
        "class Breaking(gymnasium.Env):\n"
        "    observation_space = spaces.Discrete(2)\n"
        "    action_space = spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        raise ValueError('the simulator fell over')\n"
        "gymnasium.register('Breaking-v0', entry_point=Breaking)\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "apps.engine"],
        input=json.dumps(
            {
                "job": "train",
                "directory": str(tmp_path / "run"),
                "spec": {**TINY_PPO, "environment": "breaking:Breaking-v0"},
            }
        ).encode(),
        capture_output=True,
        env={**ENVIRONMENT, "PYTHONPATH": str(tmp_path)},
        check=False,
    )
    reply = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 1
    assert reply["reply"] == "crashed"
    assert reply["message"] == "ValueError: the simulator fell over"
    assert "in reset" in reply["traceback"]
    assert "the simulator fell over" in (tmp_path / "run" / "train.log").read_text()


@pytest.mark.parametrize("how", ["control line", "SIGTERM"])
def test_a_stop_saves_and_ends_in_order(tmp_path: Path, how: str) -> None:
    directory = RunDirectory(tmp_path / "run")
    process = start()
    send(process, {"job": "train", "directory": str(directory.path), "spec": LONG})
    wait_for_training(directory, process)
    assert directory.lock_holder() == process.pid
    if how == "SIGTERM":
        process.send_signal(signal.SIGTERM)
    else:
        send(process, {"control": "stop", "reason": "enough"})
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    result = json.loads(output.splitlines()[-1])["result"]
    assert result["status"] == "stopped"
    assert saving.steps_of(directory)[-1] == result["step"]
    assert events_of(directory)[-1]["status"] == "stopped"
    assert directory.lock_holder() is None


def test_a_supervised_trainer_ends_with_its_supervisor_and_takes_what_it_started(
    tmp_path: Path,
) -> None:
    directory = RunDirectory(tmp_path / "run")
    process = start("--supervised", is_leader=True)
    started = {
        "environment": "tests.worlds.misbehaving:Hangs-v0",
        "environment_kwargs": {"pid_file": str(tmp_path / "pid")},
    }
    job = {"job": "train", "directory": str(directory.path), "spec": {**LONG, **started}}
    send(process, job)
    wait_for_training(directory, process)
    assert process.stdin is not None
    process.stdin.close()
    process.stdin = None
    process.wait(timeout=5)
    assert events_of(directory)[-1]["status"] == "lost"
    assert directory.lock_holder() is None
    assert is_gone(tmp_path / "pid")


def test_a_warm_trainer_says_so_and_trains_the_same_policy(tmp_path: Path) -> None:
    cold, warm = RunDirectory(tmp_path / "cold"), RunDirectory(tmp_path / "warm")
    run_one({"job": "train", "directory": str(cold.path), "spec": TINY_PPO})
    process = start("--warm", "--supervised")
    assert process.stdout is not None
    assert json.loads(process.stdout.readline()) == {"reply": "ready"}
    send(process, {"job": "train", "directory": str(warm.path), "spec": TINY_PPO})
    replies = [json.loads(process.stdout.readline())["reply"] for _ in range(2)]
    assert replies == ["phase", "done"]
    process.communicate(timeout=20)
    curves = [
        [(event["step"], event["return"]) for event in events_of(directory, "episode")]
        for directory in (cold, warm)
    ]
    assert curves[0] == curves[1]
    hashes = [
        json.loads((directory.checkpoints / "256" / "manifest.json").read_text())
        for directory in (cold, warm)
    ]
    assert hashes[0]["step"] == hashes[1]["step"] == 256


def test_an_idle_trainer_ends_when_nobody_has_a_job(tmp_path: Path) -> None:
    process = start("--supervised")
    output, _ = process.communicate(timeout=20)
    assert (process.returncode, output) == (0, b"")
