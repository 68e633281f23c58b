"""What is downloaded works elsewhere: the stock library plays it as it was evaluated here."""

import json
import os
import subprocess
import sys
from pathlib import Path
from shutil import copy

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from apps.experiments.models import Run
from tests.cli.test_commands import TINY, call, manage
from tests.jobs.test_downloads import run_with_checkpoint
from tests.worlds import ODD_WORLDS, give_odd_worlds

PPO = ("--algo", "ppo", "--env", "Pendulum-v1", *TINY, "--normalize", "true")
DQN = ("--algo", "dqn", "--env", "CartPole-v1", "-n", "256", "-params", "net_arch:[8]")


SHIFTED = ("--algo", "ppo", "--env", "odd_worlds:Offset-v0", *TINY)


@pytest.mark.slow
@pytest.mark.parametrize("options", [PPO, DQN, SHIFTED], ids=["normalised", "replay", "shifted"])
def test_the_stock_library_plays_it_as_it_was_evaluated(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    home, taken = tmp_path / "home", tmp_path / "taken"
    home.mkdir()
    give_odd_worlds(home)
    manage(home, "train", *options, "--eval-episodes", "1", "--no-video", "--json")
    shown = json.loads(manage(home, "run", "latest", "--json").stdout)
    manage(home, "download", "latest", "-o", str(taken))
    assert (taken / "normalization.npz").exists() == (options is PPO)
    # Its own environment's module is the user's to bring along; the rest needs nothing of ours.
    isolated = ["-I"]
    if options is SHIFTED:
        isolated = []
        copy(ODD_WORLDS, taken)
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
    assert played == pytest.approx(shown["evaluations"][0]["return_mean"], rel=1e-4)


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
