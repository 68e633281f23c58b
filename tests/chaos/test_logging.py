"""A script logs on while the web server is killed under it: every row is there, each once."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from apps.client import rlgym_client
from tests.live_stack import APART_S, LiveStack, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

STEPS_BETWEEN_KILLS = 1000
# As CleanRL logs, one scalar after the other; it pauses until the server was killed.
SCRIPT = """
import sys, time
import rlgym_client

n_steps, pause = int(sys.argv[1]), int(sys.argv[2])
writer = rlgym_client.init("Chaos", name="outside", config={"steps": n_steps})
print(writer.id, flush=True)
for step in range(n_steps):
    writer.add_scalar("charts/SPS", step / 2, step)
    writer.add_scalar("losses/value_loss", step / 3, step)
    if step % 100 == 99:
        writer.log_episode(step, 100, step)
    if step % pause == pause - 1:
        sys.stdin.readline()
    time.sleep(0.001)
writer.close()
"""


@pytest.mark.parametrize(
    ("kills", "apart_s"),
    [(2, 0), pytest.param(50, APART_S, marks=[pytest.mark.soak, pytest.mark.timeout(3600)])],
)
def test_a_script_outlives_restarts_of_the_server_with_every_row_once(
    tmp_path: Path, kills: int, apart_s: float
) -> None:
    n_steps = STEPS_BETWEEN_KILLS * (kills + 1)
    pick = random.Random(kills)
    with LiveStack(tmp_path / "home") as stack:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(rlgym_client.__file__).parent),
            "RLGYM_URL": stack.address,
            "RLGYM_TOKEN": stack.token(),
            "RLGYM_SPOOL": str(tmp_path),
        }
        arguments = map(str, (n_steps, STEPS_BETWEEN_KILLS))
        with subprocess.Popen(
            [sys.executable, "-c", SCRIPT, *arguments],
            env=environment,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as script:
            assert script.stdout is not None
            assert script.stdin is not None
            run_id = script.stdout.readline().strip()
            log = stack.home / "media" / "runs" / run_id / "metrics.jsonl"
            for nth in range(kills):
                least = f'"step":{nth * STEPS_BETWEEN_KILLS + 100},'.encode()
                wait_until(
                    lambda least=least: log.exists() and least in log.read_bytes(), 60, "rows"
                )
                (web,) = stack.find("rlgym.server")
                time.sleep(apart_s + pick.uniform(0, 1))
                web.kill()
                script.stdin.write("\n")
                script.stdin.flush()
                wait_until(
                    lambda web=web: {one.pid for one in stack.find("rlgym.server")} - {web.pid},
                    60,
                    "another web server",
                )
            script.stdin.write("\n")
            script.stdin.flush()
            assert script.wait(120) == 0
        lines = [json.loads(line) for line in log.read_bytes().splitlines()]
        scalars = [
            (line["step"], key, value)
            for line in lines
            if line["type"] == "metrics"
            for key, value in line["values"].items()
        ]
        assert sorted(scalars) == sorted(
            (step, key, step / by)
            for step in range(n_steps)
            for key, by in (("charts/SPS", 2), ("losses/value_loss", 3))
        )
        numbers = [line["seq"] for line in lines if "seq" in line]
        assert numbers == list(range(1, len(numbers) + 1))
        assert sum(line["type"] == "episode" for line in lines) == n_steps // 100
        ended = stack.run(run_id)
        assert (ended["status"], ended["step"], ended["kind"]) == (
            "completed",
            n_steps - 1,
            "logged",
        )
        assert list(tmp_path.glob("*.jsonl")) == []
        stack.assert_nothing_is_left()
