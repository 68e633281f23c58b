"""What is downloaded works elsewhere: the stock library plays it as it was evaluated here."""

import os
import subprocess
import sys
from pathlib import Path
from shutil import copy
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from apps.engine.playing.evaluation import evaluate
from apps.engine.training.training import train
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs.rows import LogCopier
from apps.spec.evaluation import EvalSpec, default_evaluation_seed
from apps.spec.run import RunSpec
from tests.builders import TINY_DQN, TINY_PPO, make_run
from tests.cli.calling import call
from tests.damaged_checkpoints import run_with_checkpoint
from tests.worlds import ODD_WORLDS

PPO = {**TINY_PPO, "environment": "Pendulum-v1", "normalize": True}
SHIFTED = {**TINY_PPO, "environment": "tests.worlds.odd_worlds:Offset-v0"}


def trained_and_evaluated(data: dict[str, Any]) -> tuple[Run, float]:
    """Train a run and play its last checkpoint; return the run and what an episode gave."""
    spec = RunSpec.from_dict(data)
    run = make_run(status=RunStatus.COMPLETED, spec=spec.as_dict(), attempt=1)
    train(spec, run.directory)
    columns, _ = LogCopier(run).advance()
    Run.objects.filter(pk=run.pk).update(**columns)
    wanted = EvalSpec(n_episodes=1, seed=default_evaluation_seed(spec.seed), should_film=False)
    found = evaluate(run.directory, spec, columns["step"], wanted, "eval_1")
    return run, found.as_dict("eval_1")["return_mean"]


@pytest.mark.slow
@pytest.mark.parametrize("data", [PPO, TINY_DQN, SHIFTED], ids=["normalised", "replay", "shifted"])
def test_the_stock_library_plays_it_as_it_was_evaluated(
    data: dict[str, Any], home: Path, tmp_path: Path, db: None
) -> None:
    taken = tmp_path / "taken"
    run, return_mean = trained_and_evaluated(data)
    call("download", run.pk, "-o", str(taken))
    assert (taken / "normalization.npz").exists() == (data is PPO)
    # Its own environment's module is the user's to bring along; the rest needs nothing of ours.
    isolated = ["-I"]
    if data is SHIFTED:
        isolated = []
        for folder in ("tests", "tests/worlds"):
            (taken / folder).mkdir()
        copy(ODD_WORLDS, taken / "tests" / "worlds")
    done = subprocess.run(
        [sys.executable, *isolated, "load.py"],
        cwd=taken,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 0, done.stderr
    played = float(done.stdout.split()[1])
    assert played == pytest.approx(return_mean, rel=1e-4)


def test_a_download_overwrites_nothing(home: Path, tmp_path: Path, db: None) -> None:
    run_with_checkpoint()
    folder = tmp_path / "there"
    assert "model.zip" in call("download", "tiny", "-o", str(folder))
    with pytest.raises(CommandError, match=r"model\.zip.* already; name another folder"):
        call_command("download", "tiny", "-o", str(folder))


@pytest.mark.parametrize("at", ["512", "second", "", "../256", "-1"])
def test_a_checkpoint_that_is_not_there_is_refused_in_one_line(
    home: Path, tmp_path: Path, db: None, at: str
) -> None:
    run_with_checkpoint()
    if not at:
        Run.objects.get().checkpoints.all().delete()
    with pytest.raises(CommandError, match=r"has no checkpoint") as refused:
        call_command("download", f"tiny@{at}", "-o", str(tmp_path / "x"))
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "x").exists()
