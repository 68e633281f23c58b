"""The scripts of docs/logging.md, as they stand there, against a live server."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from apps.accounts.models import ApiToken, first_admin
from apps.client import rlgym_client
from apps.experiments.models import Run
from apps.metrics import store

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "logging.md"
CLIENT = Path(rlgym_client.__file__).parent
BLOCK = re.compile(r"```python\n(.*?)```", re.DOTALL)
SECTIONS = [part.partition("\n") for part in DOCUMENT.read_text().split("\n## ")]
SCRIPTS = {title: BLOCK.findall(text)[0] for title, _, text in SECTIONS if BLOCK.search(text)}


def test_every_kind_of_script_is_documented() -> None:
    assert [*SCRIPTS] == ["A loop written by hand", "CleanRL", "Stable-Baselines3"]
    for code in SCRIPTS.values():
        compile(code, "docs/logging.md", "exec")


@pytest.mark.parametrize(
    ("title", "keys"),
    [
        ("A loop written by hand", {"climb/best", "episode/return"}),
        ("CleanRL", {"charts/episodic_return", "losses/value_loss"}),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_a_documented_script_logs_its_run(
    title: str, keys: set[str], home: Path, live_server: LiveServer
) -> None:
    script = home / "script.py"
    script.write_text(SCRIPTS[title])
    environment = {
        **os.environ,
        "PYTHONPATH": str(CLIENT),
        "RLGYM_URL": live_server.url,
        "RLGYM_TOKEN": ApiToken.objects.issue(first_admin(), "tests"),
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = Run.objects.get()
    assert (run.kind, run.status, run.progress) == ("logged", "completed", 1.0)
    assert run.step >= 4096
    assert run.return_best
    assert keys <= set(store.series(run.directory.log).keys)
