"""The life of a run: pause, resume, retry, reproduce, continue, branch."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from apps.accounts.models import ApiToken
from apps.errors import InvalidSpec
from apps.experiments.models import Run
from apps.experiments.statuses import IllegalMove, RunStatus
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import life, lineage, records, refusals, reindex
from apps.jobs.verbs.naming import Naming
from apps.jobs.worker import supervisor
from tests.builders import GiveTrained, give_checkpoint, make_run, with_checkpoint

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]

ENDED = (RunStatus.FAILED, RunStatus.STOPPED, RunStatus.PAUSED, RunStatus.LOST)


@pytest.fixture
def ended(settings: Settings, give_trained: GiveTrained) -> Run:
    """A tiny run, trained to its end."""
    settings.WARM_TRAINER = False
    supervisor.shutdown.clear()
    return give_trained()


def train(run: Run) -> Run:
    assert run.claim(supervisor.new_owner())
    return supervisor.supervise_run(run, TrainerProcess(*TRAINER), lambda: None)


def test_pausing_asks_a_running_run_only() -> None:
    run = make_run(status=RunStatus.RUNNING, owner="host:1:x", attempt=1)
    assert life.pause(run).stop_as == RunStatus.PAUSED
    for status in (RunStatus.DRAFT, RunStatus.QUEUED, RunStatus.COMPLETED, RunStatus.PAUSED):
        with pytest.raises(IllegalMove, match="cannot become paused"):
            life.pause(make_run(status=status))


def test_saving_asks_a_running_run_only() -> None:
    run = make_run(status=RunStatus.RUNNING, owner="host:1:x", attempt=1)
    assert life.save(run).save_requested_at is not None
    run.move_to(RunStatus.QUEUED)
    assert run.save_requested_at is None
    for status in (RunStatus.DRAFT, RunStatus.QUEUED, RunStatus.COMPLETED, RunStatus.PAUSED):
        with pytest.raises(refusals.Refused, match=f"is {status}; only a run that goes on"):
            life.save(make_run(status=status))


@pytest.mark.parametrize("status", ENDED)
def test_what_ended_early_with_a_checkpoint_can_be_resumed(status: RunStatus) -> None:
    run = with_checkpoint(status)
    Run.objects.filter(pk=run.pk).update(auto_resumes=3, error="boom")
    assert lineage.resume(run).status == RunStatus.QUEUED
    assert (run.auto_resumes, run.stop_requested_at, run.finished_at) == (0, None, None)
    assert run.claim("host:1:x")
    assert (run.attempt, run.error) == (2, "")


@pytest.mark.parametrize("status", ENDED)
def test_without_a_checkpoint_there_is_nothing_to_resume(status: RunStatus) -> None:
    run = make_run(status=status)
    with pytest.raises(refusals.Refused, match="`retry` starts it anew"):
        lineage.resume(run)
    run.refresh_from_db()
    assert run.status == status


@pytest.mark.parametrize(
    "status", [RunStatus.DRAFT, RunStatus.QUEUED, RunStatus.RUNNING, RunStatus.COMPLETED]
)
def test_what_has_not_ended_early_cannot_be_resumed(status: RunStatus) -> None:
    with pytest.raises(IllegalMove):
        lineage.resume(make_run(status=status, owner="host:1:x"))


@pytest.mark.slow
def test_a_reproduction_gives_the_same_curve(ended: Run) -> None:
    again = train(lineage.reproduce(ended))
    assert (again.relation, again.parent, again.parent_step) == ("reproduce", ended, None)
    assert again.experiment == ended.experiment
    assert (again.return_mean, again.episodes) == (ended.return_mean, ended.episodes)
    assert train(lineage.retry(ended)).return_mean == ended.return_mean


@pytest.mark.slow
def test_a_continued_run_goes_on_where_its_parent_ended(ended: Run) -> None:
    child = train(lineage.continue_run(ended, 256))
    assert (child.status, child.step, child.parent_step) == (RunStatus.COMPLETED, 512, 256)
    assert (child.fidelity, child.relation) == ("exact", "continue")
    assert [checkpoint.step for checkpoint in child.checkpoints.all()] == [256, 512]


@pytest.mark.slow
def test_a_branch_takes_changed_hyperparameters_and_keeps_the_others(ended: Run) -> None:
    changes = {"total_timesteps": 512, "hyperparameters": {"learning_rate": 0.01}}
    child = lineage.branch(ended, "best", changes, Naming(name="hotter"))
    assert child.spec["hyperparameters"]["learning_rate"] == 0.01
    assert child.spec["hyperparameters"]["n_steps"] == 64
    train(child)
    assert (child.status, child.name, child.relation) == (RunStatus.COMPLETED, "hotter", "branch")


def decaying() -> Run:
    """A run of 128 steps with a checkpoint at its end, whose learning rate went down to 0."""
    run = with_checkpoint(RunStatus.COMPLETED)
    hyperparameters = {**run.spec["hyperparameters"], "learning_rate": "lin_0.001"}
    run.spec = {**run.spec, "total_timesteps": 128, "hyperparameters": hyperparameters}
    run.save(update_fields=["spec"])
    return run


@pytest.mark.parametrize(("schedules", "length"), [("keep", 128), ("stretch", 0)])
def test_schedules_are_kept_or_stretched(schedules: str, length: int) -> None:
    run = decaying()
    child = lineage.continue_run(run, 100, schedules=schedules)
    branch = lineage.branch(run, "last", {"total_timesteps": 500}, schedules=schedules)
    assert [each.spec["schedule_timesteps"] for each in (child, branch)] == [length, length]
    child.move_to(RunStatus.STOPPED)
    give_checkpoint(child, 150)
    grandchild = lineage.continue_run(child, 100, schedules=schedules)
    assert grandchild.spec["schedule_timesteps"] == length


def test_schedules_are_kept_unless_a_branch_changes_one() -> None:
    run = decaying()
    assert lineage.continue_run(run, 100).spec["schedule_timesteps"] == 128
    changes = {"total_timesteps": 500, "hyperparameters": {"learning_rate": "lin_0.01"}}
    assert lineage.branch(run, "last", changes).spec["schedule_timesteps"] == 0
    other = {"total_timesteps": 500, "hyperparameters": {"gamma": 0.9}}
    assert lineage.branch(run, "last", other).spec["schedule_timesteps"] == 128
    constant = with_checkpoint(RunStatus.COMPLETED)
    assert lineage.continue_run(constant, 100).spec["schedule_timesteps"] == 0


def test_another_way_with_schedules_is_refused_with_those_there_are() -> None:
    with pytest.raises(InvalidSpec, match="'bend' is not allowed; allowed: keep, stretch"):
        lineage.continue_run(decaying(), 100, schedules="bend")


@pytest.mark.slow
def test_lineage_outlives_the_database(ended: Run) -> None:
    child = lineage.continue_run(ended, 256)
    grandchild = lineage.continue_run(train(child), 256)
    Run.objects.all().delete()
    assert set(reindex.reindex().runs) == {ended.pk, child.pk, grandchild.pk}
    again = Run.objects.get(pk=grandchild.pk)
    assert (again.parent_id, again.parent_step, again.relation) == (child.pk, 512, "continue")
    assert again.parent.parent_id == ended.pk


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"total_timesteps": 128}, InvalidSpec, "it must be more"),
        ({"hyperparameters": {"buffer_size": 3}}, InvalidSpec, "PPO has no such"),
        ({"algorithm": "dqn"}, refusals.Refused, "keeps its algorithm"),
        ({"colour": "red"}, InvalidSpec, "colour: unknown"),
    ],
)
def test_a_branch_that_cannot_be_is_refused_and_leaves_nothing(
    changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    run = with_checkpoint(RunStatus.COMPLETED)
    with pytest.raises(error, match=said):
        lineage.branch(run, "last", {"total_timesteps": 999, **changes})
    assert Run.objects.count() == 1
    assert len(list(run.directory.path.parent.iterdir())) == 1


@pytest.mark.parametrize("status", [RunStatus.QUEUED, RunStatus.RUNNING])
def test_an_active_run_has_no_children_yet(status: RunStatus) -> None:
    run = with_checkpoint(status) if status == RunStatus.QUEUED else None
    if run is None:
        run = with_checkpoint(RunStatus.COMPLETED)
        Run.objects.filter(pk=run.pk).update(status=status, owner="host:1:x")
        run.refresh_from_db()
    for verb in (
        lambda: lineage.retry(run),
        lambda: lineage.reproduce(run),
        lambda: lineage.continue_run(run, 100),
        lambda: lineage.branch(run, "last", {"total_timesteps": 999}),
    ):
        with pytest.raises(refusals.Refused, match="stop or pause it first"):
            verb()


def test_a_branch_from_a_checkpoint_that_is_gone_is_refused_and_leaves_nothing() -> None:
    run = with_checkpoint(RunStatus.COMPLETED)
    (run.directory.checkpoints / "128" / "manifest.json").unlink()
    with pytest.raises(refusals.Refused, match="files of checkpoint 128"):
        lineage.branch(run, "128", {"total_timesteps": 999})
    with pytest.raises(refusals.Refused, match="it has checkpoints at 128"):
        lineage.branch(run, "64", {"total_timesteps": 999})
    assert len(list(run.directory.path.parent.iterdir())) == 1


@pytest.mark.parametrize(("field", "value"), [("algorithm", "a2c"), ("backend", "sbx")])
def test_a_branch_keeps_what_reads_its_networks(field: str, value: str) -> None:
    run = with_checkpoint(RunStatus.COMPLETED)
    with pytest.raises(refusals.Refused, match=f"a branch keeps its {field}"):
        lineage.branch(run, "last", {"total_timesteps": 999, field: value})


def test_a_branch_keeps_its_parent_s_networks() -> None:
    run = with_checkpoint(RunStatus.COMPLETED)
    changes = {"total_timesteps": 999, "hyperparameters": {"net_arch": [9]}}
    with pytest.raises(InvalidSpec, match=r"keeps its parent's networks: \[8\]"):
        lineage.branch(run, "last", changes)


def test_a_branch_into_another_environment_leaves_the_parent_s_arguments() -> None:
    run = with_checkpoint(RunStatus.COMPLETED)
    run.spec["environment_kwargs"] = {"sutton_barto_reward": True}
    changes = {"total_timesteps": 999, "environment": "Acrobot-v1"}
    assert lineage.branch(run, "last", changes).spec["environment_kwargs"] == {}


class TestOverRest:
    @pytest.fixture
    def api(self, admin_user: Any) -> Client:
        token = ApiToken.objects.issue(admin_user, "tests")
        return Client(headers={"Authorization": f"Bearer {token}"})

    def post(self, api: Client, run: Run, verb: str, body: Any = None) -> Any:
        data = json.dumps(body) if body is not None else ""
        return api.post(f"/api/v1/runs/{run.pk}/{verb}", data, content_type="application/json")

    def test_each_verb_answers_with_the_run(self, api: Client) -> None:
        running = make_run(status=RunStatus.RUNNING, owner="host:1:x", attempt=1)
        saved = self.post(api, running, "save")
        assert saved.status_code == 202
        assert saved.json()["save_requested_at"] is not None
        assert self.post(api, running, "pause").status_code == 202
        paused = with_checkpoint(RunStatus.PAUSED)
        assert self.post(api, paused, "resume").json()["status"] == "queued"
        done = with_checkpoint(RunStatus.COMPLETED)
        for verb, body in (
            ("retry", None),
            ("reproduce", None),
            ("continue", {"more_timesteps": 50}),
            ("branch", {"at": "best", "changes": {"total_timesteps": 999}}),
        ):
            answer = self.post(api, done, verb, body)
            assert answer.status_code == 201, answer.content
            assert answer.json()["relation"] == verb
            assert answer["Location"].endswith(answer.json()["id"])
        lineage = api.get(f"/api/v1/runs/{done.pk}/lineage").json()
        assert lineage["parent"] is None
        assert [child["relation"] for child in lineage["children"]] == [
            "retry",
            "reproduce",
            "continue",
            "branch",
        ]

    @pytest.mark.parametrize(
        ("verb", "body", "status"),
        [
            ("save", None, 409),
            ("pause", None, 409),
            ("resume", None, 409),
            ("continue", {}, 422),
            ("continue", {"more_timesteps": 0}, 422),
            ("continue", {"more_timesteps": "many"}, 422),
            ("branch", {"at": "nowhere"}, 409),
            ("branch", {"changes": {"seed": -1}}, 422),
            ("branch", {"surprise": 1}, 422),
            ("branch", {"changes": []}, 422),
        ],
    )
    def test_refusals(self, api: Client, verb: str, body: Any, status: int) -> None:
        run = with_checkpoint(RunStatus.COMPLETED)
        assert self.post(api, run, verb, body).status_code == status
        assert Run.objects.count() == 1


def test_a_run_directory_of_a_child_stands_alone(tmp_path: Path) -> None:
    parent = with_checkpoint(RunStatus.COMPLETED)
    child = lineage.continue_run(parent, 100)
    records.delete(parent)
    child.refresh_from_db()
    assert child.parent is None
    assert (child.directory.checkpoints / "128" / "manifest.json").exists()
