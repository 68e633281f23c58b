"""A script logs on while the web server is killed under it: every row is there, each once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from apps.client import rlgym_client
from tests.live_stack import LiveStack, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.slow]

N_ROWS = 3000
# As CleanRL logs, one scalar after the other; it pauses until the server was killed.
SCRIPT = f"""
import sys, time
import rlgym_client

writer = rlgym_client.init("Chaos", name="outside", config={{"rows": {N_ROWS}}})
print(writer.id, flush=True)
for step in range({N_ROWS}):
    writer.add_scalar("charts/SPS", step / 2, step)
    writer.add_scalar("losses/value_loss", step / 3, step)
    if step % 100 == 99:
        writer.log_episode(step, 100, step)
    if step % 1000 == 999:
        sys.stdin.readline()
    time.sleep(0.001)
writer.close()
"""


def test_a_script_outlives_two_restarts_of_the_server_with_every_row_once(tmp_path: Path) -> None:
    with LiveStack(tmp_path / "home") as stack:
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(rlgym_client.__file__).parent),
            "RLGYM_URL": stack.address,
            "RLGYM_TOKEN": stack.token(),
            "RLGYM_SPOOL": str(tmp_path),
        }
        with subprocess.Popen(
            [sys.executable, "-c", SCRIPT], env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        ) as script:  # fmt: skip
            assert script.stdout is not None
            assert script.stdin is not None
            run_id = script.stdout.readline().strip()
            log = stack.home / "media" / "runs" / run_id / "metrics.jsonl"
            for n_steps in (1000, 2000):
                least = f'"step":{n_steps - 900},'.encode()
                wait_until(
                    lambda least=least: log.exists() and least in log.read_bytes(), 60, "rows"
                )
                (web,) = stack.find("daphne")
                web.kill()
                script.stdin.write("\n")
                script.stdin.flush()
                wait_until(
                    lambda web=web: [one for one in stack.find("daphne") if one.pid != web.pid],
                    60, "another web server",
                )  # fmt: skip
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
            for step in range(N_ROWS)
            for key, by in (("charts/SPS", 2), ("losses/value_loss", 3))
        )
        numbers = [line["seq"] for line in lines if "seq" in line]
        assert numbers == list(range(1, len(numbers) + 1))
        assert sum(line["type"] == "episode" for line in lines) == N_ROWS // 100
        ended = stack.run(run_id)
        assert (ended["status"], ended["step"], ended["kind"]) == (
            "completed", N_ROWS - 1, "logged",
        )  # fmt: skip
        assert list(tmp_path.glob("*.jsonl")) == []
        stack.assert_nothing_is_left()
