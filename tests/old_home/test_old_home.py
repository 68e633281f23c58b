"""What was written before modules moved is read, gone on with exactly, and indexed again."""

import json
import os
import pickletools
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live_stack import ROOT

HERE = Path(__file__).parent
EPISODES: dict[str, list[list[float]]] = json.loads((HERE / "episodes.json").read_text())
NEEDS = {"emulator": "ale_py"}


def manage(home: Path, *arguments: str) -> Any:
    """Run a command with `--json` and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if "DJANGO" not in name}
    done = subprocess.run(
        [sys.executable, "manage.py", *arguments, "--json"],
        cwd=ROOT,
        env={**environment, "RLGYM_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory, with the database of its day."""
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(HERE / "home.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture(scope="module")
def ids(home: Path) -> dict[str, str]:
    """The runs' ids by name."""
    return {run["name"]: run["id"] for run in manage(home, "runs")}


def lines_of(home: Path, run_id: str, kind: str) -> list[dict[str, Any]]:
    with (home / "media/runs" / run_id / "metrics.jsonl").open() as log:
        return [line for line in map(json.loads, log) if line["type"] == kind]


def modules_named_in(content: bytes) -> Iterator[str]:
    """The modules that a pickle names, also in the pickles that it holds."""
    said: list[str] = []
    for opcode, argument, _ in pickletools.genops(content):
        if opcode.name == "STACK_GLOBAL":
            yield said[-2]
        elif isinstance(argument, str):
            said.append(argument)
        elif isinstance(argument, bytes) and argument[:1] == b"\x80":
            yield from modules_named_in(argument)


def test_every_run_of_before_is_listed(ids: dict[str, str]) -> None:
    assert ids.keys() == EPISODES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("name", EPISODES)
def test_a_run_of_before_goes_on_exactly_as_it_would_have(
    name: str, home: Path, ids: dict[str, str]
) -> None:
    """To six digits: another processor rounds otherwise, and what is not restored is far off."""
    pytest.importorskip(NEEDS.get(name, "gymnasium"))
    more = ["resume"] if name == "paused" else ["continue", "-n", "400"]
    run = manage(home, more[0], ids[name], *more[1:], "--here")
    (attempt,) = lines_of(home, run["id"], "attempt")
    assert (attempt["fidelity"], attempt.get("not_restored")) == ("exact", None)
    episodes = [[line["return"], line["length"]] for line in lines_of(home, run["id"], "episode")]
    assert episodes == [pytest.approx(pair, rel=1e-6) for pair in EPISODES[name]]
    states = (home / "media/runs" / run["id"] / "checkpoints").glob("*/state.pkl")
    newest = max(states, key=lambda state: int(state.parent.name))
    named = {*modules_named_in(newest.read_bytes())}
    assert "numpy" in {module.split(".")[0] for module in named}
    assert {module for module in named if module.startswith("apps")} == set()


def test_its_rows_are_made_again_from_its_directories(home: Path, ids: dict[str, str]) -> None:
    before = shown(home)
    manage(home, "reindex", "--fresh")
    assert shown(home) == before


def shown(home: Path) -> dict[str, dict[str, Any]]:
    """The runs as commands show them, but for their times, which the log knows by its own."""
    times = {"started_at", "finished_at"}
    return {
        run["id"]: {name: value for name, value in run.items() if name not in times}
        for run in manage(home, "runs")
    }
