"""Checkpoints that somebody damaged or exchanged: no verb unpickles anything of them."""

import hashlib
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from pytest_django import Settings

from apps.accounts.models import ApiToken
from apps.engine.training.training import train as train_here
from apps.errors import InvalidSpec
from apps.experiments.models import Evaluation, Run
from apps.experiments.statuses import JobStatus, RunStatus
from apps.jobs import rows
from apps.jobs.rows import LogCopier
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import evaluations, lineage, reindex, weights
from apps.jobs.verbs.preflight import preflight
from apps.jobs.verbs.refusals import Refused
from apps.jobs.worker import plays, supervisor
from apps.metrics import store
from apps.rundir.checkpoints import steps_of
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json, sha256_of, write_json
from apps.spec.run import RunSpec
from tests.builders import TINY_PPO, make_directory, make_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]
SPEC = RunSpec.from_dict({**TINY_PPO, "save_freq": 128, "eval_episodes": 1, "film": False})


class Payload:
    """What an attacker pickles: it writes a file when somebody loads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return os.mkdir, (str(self.path),)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    directory = make_directory(tmp_path_factory.mktemp("trust") / "parent", SPEC)
    train_here(SPEC, directory)
    assert steps_of(directory) == [128, 256]
    return directory


@pytest.fixture
def parent(trained: RunDirectory, settings: Settings) -> Run:
    """A completed run with checkpoints at 128 and 256, whose row remembers their hashes."""
    settings.WARM_TRAINER = False
    supervisor.shutdown.clear()
    run = make_run(name="parent", status=RunStatus.COMPLETED, spec=SPEC.as_dict(), attempt=1)
    shutil.copytree(trained.checkpoints, run.directory.checkpoints)
    shutil.copyfile(trained.log, run.directory.log)
    columns, _ = LogCopier(run).advance()
    Run.objects.filter(pk=run.pk).update(**columns)
    run.refresh_from_db()
    return run


@pytest.fixture
def struck(tmp_path: Path) -> Path:
    """The folder that is there once a payload ran."""
    return tmp_path / "struck"


@pytest.fixture
def exchanged(parent: Run, struck: Path) -> Run:
    """The run after an attack: another state.pkl in its last checkpoint, manifest mended."""
    exchange(parent, 256, struck)
    return parent


def exchange(run: Run, step: int, struck: Path, name: str = "state.pkl") -> None:
    folder = run.directory.checkpoints / str(step)
    (folder / name).write_bytes(pickle.dumps(Payload(struck)))
    manifest = read_json(folder / "manifest.json")
    manifest["files"][name] = {
        "sha256": sha256_of(folder / name),
        "size_bytes": (folder / name).stat().st_size,
    }
    write_json(folder / "manifest.json", manifest)


def mend_log(run: Run, step: int) -> None:
    """What a more careful attacker does as well."""
    sha256 = sha256_of(run.directory.checkpoints / str(step) / "manifest.json")
    lines = [json.loads(line) for line in run.directory.log.read_bytes().splitlines()]
    for line in lines:
        if line["type"] == "checkpoint" and line["step"] == step:
            line["sha256"] = sha256
    run.directory.log.write_text("".join(json.dumps(line) + "\n" for line in lines))


def train(run: Run) -> Run:
    assert run.claim(supervisor.new_owner())
    return supervisor.supervise_run(run, TrainerProcess(*TRAINER), lambda: None)


def attempt_of(run: Run) -> dict[str, Any]:
    found = [e for e in store.tail(run.directory.log, 0).events if e["type"] == "attempt"]
    return found[-1]


def truncate(folder: Path) -> None:
    path = folder / "state.pkl"
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(folder: Path) -> None:
    data = bytearray((folder / "model.zip").read_bytes())
    data[len(data) // 2] ^= 1
    (folder / "model.zip").write_bytes(data)


def replace_by_a_pipe(folder: Path) -> None:
    (folder / "state.pkl").unlink()
    os.mkfifo(folder / "state.pkl")


def replace_manifest_by_a_pipe(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    os.mkfifo(folder / "manifest.json")


def test_the_attack_works_where_nobody_compares(struck: Path) -> None:
    pickle.loads(pickle.dumps(Payload(struck)))
    assert struck.is_dir()


HARMS: dict[str, Callable[[Path], object]] = {
    "truncated": truncate,
    "a bit flipped": flip_a_bit,
    "file missing": lambda folder: (folder / "model.zip").unlink(),
    "manifest missing": lambda folder: (folder / "manifest.json").unlink(),
    "manifest no JSON": lambda folder: (folder / "manifest.json").write_bytes(b"\xff{"),
    "manifest without files": lambda folder: (folder / "manifest.json").write_text("[1]"),
    "folder gone": shutil.rmtree,
    "a pipe in place of a file": replace_by_a_pipe,
    "a pipe in place of the manifest": replace_manifest_by_a_pipe,
}


@pytest.mark.parametrize("harm", HARMS)
def test_what_goes_on_from_a_damaged_checkpoint_takes_the_one_before_and_says_so(
    parent: Run, harm: str
) -> None:
    HARMS[harm](parent.directory.checkpoints / "256")
    further = lineage.continue_run(parent, 100)
    branched = lineage.branch(parent, "last", {"total_timesteps": 900})
    for child in (further, branched):
        assert child.parent_step == child.step == 128
        assert child.name.endswith("-128")
        assert list(child.fidelity_notes) == ["checkpoint 256"]
        assert child.status_reason.startswith("It goes on from step 128, since later ones")
        assert [row.step for row in child.checkpoints.all()] == [128]
        assert steps_of(child.directory) == [128]
        said = [e.get("reason", "") for e in store.tail(child.directory.log, 0).events]
        assert any("since later ones are damaged: checkpoint 256" in one for one in said)
    assert further.total_timesteps == 356
    with pytest.raises(Refused, match=r"files of checkpoint 256 .* are gone or damaged"):
        lineage.branch(parent, "256", {"total_timesteps": 900})
    Run.objects.filter(pk=parent.pk).update(status=RunStatus.LOST)
    parent.refresh_from_db()
    assert "since later ones are damaged: checkpoint 256" in lineage.resume(parent).status_reason


@pytest.mark.parametrize("harm", ["exchanged", *HARMS])
def test_where_no_checkpoint_is_intact_what_goes_on_is_refused_and_leaves_nothing(
    parent: Run, harm: str, struck: Path
) -> None:
    for step in (128, 256):
        if harm == "exchanged":
            exchange(parent, step, struck)
        else:
            HARMS[harm](parent.directory.checkpoints / str(step))
    for verb in (
        lambda: lineage.continue_run(parent, 100),
        lambda: lineage.branch(parent, "last", {"total_timesteps": 900}),
    ):
        with pytest.raises(Refused, match=r"no checkpoint of run .* is intact .*`retry`"):
            verb()
    Run.objects.filter(pk=parent.pk).update(status=RunStatus.PAUSED)
    parent.refresh_from_db()
    with pytest.raises(Refused, match=r"no checkpoint of run .* is intact"):
        lineage.resume(parent)
    assert Run.objects.get().status == RunStatus.PAUSED
    assert [path.name for path in parent.directory.path.parent.iterdir()] == [parent.pk]
    assert not struck.exists()


@pytest.mark.slow
def test_a_child_of_an_exchanged_checkpoint_trains_from_the_one_before(
    exchanged: Run, struck: Path
) -> None:
    child = train(lineage.continue_run(exchanged, 128))
    assert (child.status, child.step, child.fidelity) == (RunStatus.COMPLETED, 384, "exact")
    attempt = attempt_of(child)
    assert attempt["from_step"] == 128
    assert "not the one that was recorded" in attempt["notes"]["checkpoint 256"]
    assert child.fidelity_notes == attempt["notes"]
    assert not struck.exists()


@pytest.mark.slow
@pytest.mark.parametrize("is_log_mended", [False, True])
def test_a_run_is_resumed_from_the_checkpoint_before_an_exchanged_one(
    exchanged: Run, struck: Path, is_log_mended: bool
) -> None:
    if is_log_mended:
        mend_log(exchanged, 256)
    Run.objects.filter(pk=exchanged.pk).update(status=RunStatus.PAUSED)
    exchanged.refresh_from_db()
    run = train(lineage.resume(exchanged))
    assert (run.status, run.step) == (RunStatus.COMPLETED, 256)
    assert (attempt_of(run)["from_step"], run.fidelity) == (128, "exact")
    assert "checkpoint 256" in run.fidelity_notes
    assert not struck.exists()
    # What was saved anew in its place is remembered anew.
    assert run.checkpoints.get(step=256).verify()["step"] == 256


@pytest.mark.slow
def test_an_automatic_resume_unpickles_no_exchanged_checkpoint_and_starts_over_in_words(
    parent: Run, struck: Path
) -> None:
    for step in (128, 256):
        exchange(parent, step, struck)
    Run.objects.filter(pk=parent.pk).update(status=RunStatus.QUEUED)
    parent.refresh_from_db()
    run = train(parent)
    assert (run.status, run.fidelity) == (RunStatus.COMPLETED, "fresh")
    assert {"checkpoint 128", "checkpoint 256", "start"} <= run.fidelity_notes.keys()
    assert attempt_of(run)["from_step"] == 0
    assert not struck.exists()


@pytest.mark.slow
def test_a_child_whose_own_copy_was_exchanged_does_not_start(parent: Run, struck: Path) -> None:
    child = lineage.continue_run(parent, 128)
    exchange(child, 256, struck)
    mend_log(child, 256)
    child = train(child)
    assert child.status == RunStatus.FAILED
    assert "none of the checkpoints that it goes on from is intact" in child.status_reason
    assert child.fidelity == ""
    assert not struck.exists()


@pytest.mark.slow
@pytest.mark.parametrize("verb", [lineage.retry, lineage.reproduce])
def test_what_begins_anew_reads_no_checkpoint(
    exchanged: Run, struck: Path, verb: Callable[[Run], Run]
) -> None:
    again = train(verb(exchanged))
    assert (again.status, again.step, again.fidelity) == (RunStatus.COMPLETED, 256, "")
    assert not struck.exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["state.pkl", "model.zip"])
def test_an_exchanged_checkpoint_is_not_played(parent: Run, struck: Path, name: str) -> None:
    exchange(parent, 256, struck, name)
    evaluations.evaluate(parent, "256")
    plays.evaluate_queued(lambda: None)
    evaluation = Evaluation.objects.get()
    assert evaluation.status == JobStatus.FAILED
    assert "not the one that was recorded" in evaluation.error
    assert not struck.exists()


@pytest.mark.slow
def test_a_checkpoint_that_the_record_does_not_know_is_not_played(
    parent: Run, struck: Path
) -> None:
    evaluations.evaluate(parent, "256")
    parent.checkpoints.all().delete()
    plays.evaluate_queued(lambda: None)
    evaluation = Evaluation.objects.get()
    assert evaluation.status == JobStatus.FAILED
    assert "the record knows no such checkpoint" in evaluation.error


@pytest.mark.slow
@pytest.mark.parametrize("name", ["state.pkl", "model.zip"])
def test_an_exchanged_checkpoint_gives_no_weights(parent: Run, struck: Path, name: str) -> None:
    exchange(parent, 256, struck, name)
    for read in (lambda: weights.given("parent"), lambda: weights.from_text("parent@256")):
        with pytest.raises(InvalidSpec, match="not the one that was recorded"):
            read()
    start = weights.from_run("parent@128")
    assert preflight(SPEC.as_dict() | {"total_timesteps": 64}, start).severity != "refusal"
    assert not struck.exists()


def test_over_rest_it_is_said_plainly(exchanged: Run, admin_user: Any, struck: Path) -> None:
    token = ApiToken.objects.issue(admin_user, "tests")
    api = Client(headers={"Authorization": f"Bearer {token}"})

    def post(verb: str, body: Any = None) -> Any:
        path = f"/api/v1/runs/{exchanged.pk}/{verb}"
        return api.post(path, json.dumps(body), content_type="application/json")

    answer = post("continue", {"more_timesteps": 50})
    assert answer.status_code == 201
    told = answer.json()
    assert (told["parent_step"], told["fidelity"]) == (128, "")
    assert "checkpoint 256" in told["fidelity_notes"]
    assert told["status_reason"].startswith("It goes on from step 128")
    refused = post("branch", {"at": "256", "changes": {"total_timesteps": 900}})
    assert refused.status_code == 409
    assert "not the one that was recorded" in refused.json()["detail"]
    assert not struck.exists()


class TestRebuilding:
    def test_rows_outlast_a_log_that_was_mended(self, exchanged: Run, struck: Path) -> None:
        mend_log(exchanged, 256)
        reindex.reindex()
        assert lineage.continue_run(exchanged, 50).parent_step == 128

    def test_without_rows_the_log_remembers(self, exchanged: Run, struck: Path) -> None:
        Run.objects.all().delete()
        reindex.reindex()
        again = Run.objects.get(pk=exchanged.pk)
        assert lineage.continue_run(again, 50).parent_step == 128

    def test_a_child_is_remembered_by_what_its_parent_s_record_knew(self, parent: Run) -> None:
        child = lineage.continue_run(parent, 50)
        (row,) = child.checkpoints.all()
        assert row.sha256 == parent.checkpoints.get(step=256).sha256
        data = (child.directory.checkpoints / "256" / "manifest.json").read_bytes()
        assert row.sha256 == hashlib.sha256(data).hexdigest()

    def test_what_a_trainer_saves_once_more_is_remembered_anew(self, parent: Run) -> None:
        copier = LogCopier(parent)
        copier.advance()
        event = next(
            e for e in store.tail(parent.directory.log, 0).events if e["type"] == "checkpoint"
        )
        parent.directory.append({**event, "sha256": "1" * 64})
        copier.advance()
        assert parent.checkpoints.get(step=event["step"]).sha256 == "1" * 64
        rows.sync_checkpoints(parent, copier.summary)
        assert parent.checkpoints.get(step=event["step"]).sha256 == "1" * 64


def test_a_manifest_that_names_files_elsewhere_is_refused_before_they_are_read(
    parent: Run,
) -> None:
    folder = parent.directory.checkpoints / "256"
    manifest = read_json(folder / "manifest.json")
    manifest["files"]["../128/state.pkl"] = manifest["files"]["state.pkl"]
    write_json(folder / "manifest.json", manifest)
    parent.checkpoints.filter(step=256).update(sha256=sha256_of(folder / "manifest.json"))
    with pytest.raises(Refused, match="which is no file of its own"):
        lineage.branch(parent, "256", {"total_timesteps": 900})
    assert sorted(parent.directory.path.parent.iterdir()) == [parent.directory.path]


def test_what_a_manifest_does_not_name_is_not_copied(parent: Run) -> None:
    (parent.directory.checkpoints / "256" / "normalization.npz").write_bytes(b"planted")
    child = lineage.continue_run(parent, 50)
    assert child.parent_step == 256
    assert not (child.directory.checkpoints / "256" / "normalization.npz").exists()
