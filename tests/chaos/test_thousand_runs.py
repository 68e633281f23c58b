"""A thousand runs and several workers: each run is taken once, and none is forgotten."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.live_stack import ROOT, LiveStack, wait_until

RUNS = 1000
PROCESSES = 2
QUEUE = f"""
from apps.spec.run import RunSpec
from apps.jobs.verbs import life
small = {{"n_steps": 32, "batch_size": 32, "n_epochs": 1, "net_arch": [8]}}
for seed in range({RUNS}):
    life.launch(RunSpec.from_dict(
        {{"total_timesteps": 256, "seed": seed, "n_envs": 1, "eval_episodes": 1, "film": False,
          "hyperparameters": small}}
    ))
"""
ROWS = f"""
from apps.spec.run import RunSpec
from apps.experiments.models import Experiment, Run
from apps.experiments.statuses import RunStatus
experiment = Experiment.objects.create(name="Many")
spec = RunSpec.from_dict({{}})
Run.objects.bulk_create(
    Run(
        name=f"run {{seed}}", experiment=experiment, spec=spec.as_dict(), seed=seed,
        algorithm=spec.algorithm, environment=spec.environment,
        total_timesteps=spec.total_timesteps, status=RunStatus.QUEUED,
    )
    for seed in range({RUNS})
)
"""
TAKE = """
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs.worker.supervisor import new_owner
while run := Run.objects.next_queued():
    if run.claim(new_owner()):
        run.move_to(RunStatus.COMPLETED)
        print(run.pk)
"""


def python(home: Path, code: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "manage.py", "shell", "-v", "0", "-c", code],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "rlgym.settings", "RLGYM_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.chaos
@pytest.mark.slow
def test_processes_that_race_for_a_thousand_runs_take_each_once(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "manage.py", "migrate", "-v", "0"],
        cwd=ROOT,
        env={
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "rlgym.settings",
            "RLGYM_HOME": str(tmp_path),
        },
        check=True,
    )
    assert python(tmp_path, ROWS).wait() == 0
    racers = [python(tmp_path, TAKE) for _ in range(PROCESSES)]
    taken = Counter(" ".join(racer.communicate()[0] for racer in racers).split())
    assert [racer.returncode for racer in racers] == [0] * PROCESSES
    assert len(taken) == RUNS
    assert set(taken.values()) == {1}


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_two_workers_train_a_thousand_runs_each_once(tmp_path: Path) -> None:
    with LiveStack(tmp_path / "home", RLGYM_WORKERS="1", RLGYM_WARM_TRAINER="1") as stack:
        with stack.another_worker():
            assert python(stack.home, QUEUE).wait() == 0

            def ended() -> list[dict[str, object]]:
                runs = stack.manage("runs", "--status", "completed", "--limit", str(RUNS + 1))
                return runs if len(runs) == RUNS else []

            runs = wait_until(ended, 7000, "every run to end", interval_s=10)
        assert {run["attempt"] for run in runs} == {1}
        for log in (stack.home / "media" / "runs").glob("*/metrics.jsonl"):
            events = [json.loads(line) for line in log.read_bytes().splitlines()]
            statuses = [event["status"] for event in events if event["type"] == "status"]
            assert statuses == ["draft", "queued", "running", "completed"]
        stack.assert_nothing_is_left()
