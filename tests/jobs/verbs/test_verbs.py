"""The verbs: what they change, and what they refuse."""

import json
from pathlib import Path

import pytest

from apps.errors import InvalidSpec
from apps.experiments.models import Checkpoint, Evaluation, Experiment, Run
from apps.experiments.statuses import IllegalMove, JobStatus, RunStatus
from apps.jobs.queue import huey
from apps.jobs.verbs import checking, evaluations, life, records, refusals
from apps.jobs.verbs.checking import Asker
from apps.jobs.verbs.naming import Naming
from apps.metrics import store
from apps.spec.run import RunSpec
from tests.builders import TINY_PPO, make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def statuses(run: Run) -> list[str]:
    found = store.tail(run.directory.log, 0).events
    return [event["status"] for event in found if event["type"] == "status"]


def test_creating_a_run_makes_its_directory_and_then_its_row() -> None:
    spec = checking.check_spec(TINY_PPO)
    run = life.create(spec, Naming(name="mine", experiment="First", command="typed"))
    assert run.status == RunStatus.DRAFT
    assert RunSpec.from_dict(json.loads(run.directory.spec.read_text())) == spec
    record = json.loads(run.directory.record.read_text())
    assert (record["name"], record["experiment"], record["command"]) == ("mine", "First", "typed")
    assert Run.objects.get(pk=run.pk).experiment.name == "First"
    assert statuses(run) == ["draft"]


def test_runs_are_named_after_their_spec_and_numbered() -> None:
    spec = checking.check_spec(TINY_PPO)
    names = [life.create(spec).name for _ in range(3)]
    assert names == ["ppo-CartPole-v1-s1", "ppo-CartPole-v1-s1-2", "ppo-CartPole-v1-s1-3"]
    assert Experiment.objects.get().name == "PPO on CartPole-v1"


@pytest.mark.django_db(transaction=True)
def test_launching_queues_and_rings() -> None:
    huey.flush()
    run = life.launch(checking.check_spec(TINY_PPO))
    assert run.status == RunStatus.QUEUED
    assert run.queued_at is not None
    assert statuses(run) == ["draft", "queued"]
    assert huey.pending_count() == 1


def test_a_run_is_queued_once() -> None:
    run = life.launch(checking.check_spec(TINY_PPO))
    with pytest.raises(IllegalMove, match="queued cannot become queued"):
        life.queue(run)
    assert statuses(run) == ["draft", "queued"]


@pytest.mark.parametrize(
    ("change", "field", "said"),
    [
        ({"algorithm": "alchemy"}, "algorithm", "allowed: ppo, dqn"),
        ({"environment": "CartPol-v1"}, "environment", "did you mean CartPole-v1"),
        ({"environment": "nosuchmodule:Env-v0"}, "environment", "nosuchmodule"),
        (
            {"hyperparameters": {"buffer_size": 5}},
            "hyperparameters.buffer_size",
            "PPO has no such",
        ),
        ({"preset": "heroic"}, "preset", "fast, stable, high_score"),
        ({"total_timesteps": 0}, "total_timesteps", "from 1 to 1000000000"),
        ({"total_timesteps": 10**12}, "total_timesteps", "from 1 to 1000000000"),
        (
            {"algorithm": "dqn", "environment": "Pendulum-v1", "hyperparameters": {}},
            "algorithm",
            "algorithms that can: ppo",
        ),
        ({"environment": "FrozenLake-v1", "normalize": {}}, "normalize", "they are discrete"),
        (
            {"algorithm": "dqn", "hyperparameters": {"her": True}},
            "hyperparameters.her",
            "here they are no dictionary",
        ),
        (
            {"algorithm": "maskable_ppo", "hyperparameters": {}},
            "algorithm",
            "needs an environment with action_masks()",
        ),
        (
            {"environment_kwargs": {"colour": "red"}},
            "environment",
            "colour",
        ),
    ],
)
def test_a_bad_spec_is_refused_by_field(change: dict[str, object], field: str, said: str) -> None:
    with pytest.raises(InvalidSpec) as refusal:
        checking.check_spec({**TINY_PPO, **change})
    assert [error.field for error in refusal.value.errors] == [field]
    assert said in refusal.value.errors[0].message
    assert not Run.objects.exists()


def test_an_environment_that_exits_the_interpreter_harms_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "suicidal.py").write_text("import os\nos._exit(3)\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with pytest.raises(InvalidSpec, match="ended with code 3"):
        checking.check_spec({**TINY_PPO, "environment": "suicidal:Env-v0"}, Asker.TERMINAL)


def test_stopping_a_queued_run_ends_it_at_once() -> None:
    run = life.stop(life.launch(checking.check_spec(TINY_PPO)), "not needed")
    assert (run.status, run.status_reason) == (RunStatus.STOPPED, "not needed")
    assert statuses(run) == ["draft", "queued", "stopped"]


def test_stopping_a_running_run_leaves_a_request() -> None:
    run = make_run(status=RunStatus.RUNNING, owner="host:1:x", attempt=1)
    life.stop(run)
    assert run.status == RunStatus.RUNNING
    assert run.stop_requested_at is not None


@pytest.mark.parametrize("status", [RunStatus.DRAFT, RunStatus.COMPLETED, RunStatus.FAILED])
def test_a_run_that_does_not_run_cannot_be_stopped(status: RunStatus) -> None:
    with pytest.raises(IllegalMove, match=f"{status} cannot become stopped"):
        life.stop(make_run(status=status))


@pytest.mark.parametrize(("at", "step"), [("last", 300), ("best", 200), ("100", 100)])
def test_an_evaluation_is_asked_of_a_checkpoint(at: str, step: int) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    for saved in (100, 200, 300):
        Checkpoint.objects.create(run=run, step=saved, is_best=saved == 200)
    evaluation = evaluations.evaluate(run, at, {"n_episodes": 3})
    assert (evaluation.step, evaluation.n_episodes) == (step, 3)
    assert evaluation.seed == 10_001
    assert evaluation.status == JobStatus.QUEUED


@pytest.mark.parametrize("at", ["150", "first", "", "-1"])
def test_an_evaluation_of_no_checkpoint_is_refused(at: str) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    Checkpoint.objects.create(run=run, step=100)
    with pytest.raises(refusals.Refused, match="it has checkpoints at 100"):
        evaluations.evaluate(run, at)
    assert not Evaluation.objects.exists()


def test_an_evaluation_with_bad_options_is_refused() -> None:
    run = make_run(status=RunStatus.COMPLETED)
    Checkpoint.objects.create(run=run, step=100)
    with pytest.raises(InvalidSpec, match="n_episodes"):
        evaluations.evaluate(run, options={"n_episodes": 0})


def test_renaming_changes_directory_and_row() -> None:
    run = records.rename(make_run(), "  better name ")
    assert Run.objects.get(pk=run.pk).name == "better name"
    assert json.loads(run.directory.record.read_text())["name"] == "better name"
    for bad in ("", "   ", "x" * 121):
        with pytest.raises(InvalidSpec, match=r"1 to 120|at most 120"):
            records.rename(run, bad)


def test_a_deleted_run_can_be_brought_back_whole() -> None:
    run = make_run(status=RunStatus.COMPLETED)
    run.directory.append({"type": "status", "t": 1.0, "step": 256, "status": "completed"})
    records.delete(run)
    assert not Run.objects.exists()
    again = records.restore(run.pk)
    assert (again.pk, again.name, again.status) == (run.pk, run.name, RunStatus.COMPLETED)
    assert again.directory.spec.exists()


@pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.RUNNING])
def test_an_active_run_cannot_be_deleted(status: RunStatus) -> None:
    run = make_run(status=status, owner="host:1:x")
    with pytest.raises(refusals.Refused, match="stop it or wait"):
        records.delete(run)
    assert run.directory.path.exists()


@pytest.mark.parametrize("run_id", ["nothere", "../runs", "", "a/b", "\x00"])
def test_only_what_is_in_the_trash_can_be_restored(run_id: str) -> None:
    with pytest.raises(refusals.Refused, match="in the trash"):
        records.restore(run_id)
