"""Runs that start from weights: of a checkpoint, of a model file; retried, continued, rebuilt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings
from stable_baselines3 import DDPG, PPO, SAC

from apps.errors import InvalidSpec
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs.trainers import TRAINER, TrainerProcess
from apps.jobs.verbs import checking, life, lineage, records, reindex, weights
from apps.jobs.worker import supervisor
from apps.rundir.checkpoints import copy_checkpoint
from apps.rundir.files import read_json, sha256_of
from tests.builders import TINY_PPO, make_run

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]
TINY = {"n_steps": 64, "batch_size": 32, "n_epochs": 1}


@pytest.fixture
def quiet(settings: Settings) -> None:
    settings.WARM_TRAINER = False
    supervisor.shutdown.clear()


@pytest.fixture
def parent(trained: Any) -> Run:
    """A completed run with the checkpoint of a tiny training."""
    spec, directory = trained
    run = make_run(name="parent", status=RunStatus.COMPLETED, spec=spec.as_dict())
    event = copy_checkpoint(directory, run.directory, 256)
    run.directory.append(event)
    run.checkpoints.create(step=256, sha256=event["sha256"])
    return run


def start_run(start: weights.Start | None, **data: Any) -> Run:
    data = {"total_timesteps": 256, "hyperparameters": TINY, **data}
    spec = weights.check_spec(data, start)
    return life.launch(spec, origin=start.origin if start else None)


def train(run: Run) -> Run:
    assert run.claim(supervisor.new_owner())
    return supervisor.supervise_run(run, TrainerProcess(*TRAINER), lambda: None)


def weights_file(tmp_path: Path, make: Callable[[], Any] | None = None) -> Path:
    make = make or (lambda: PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [7]}))
    make().save(tmp_path / "model.zip")
    return tmp_path / "model.zip"


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_an_imported_run_trains_and_its_file_goes_along_with_what_is_made_of_it(
    tmp_path: Path,
) -> None:
    path = weights_file(tmp_path)
    run = train(start_run(weights.from_text(str(path))))
    assert (run.status, run.fidelity, run.step) == (RunStatus.COMPLETED, "weights-only", 256)
    path.unlink()
    more = {"total_timesteps": 384}
    for other in (lineage.retry(run), lineage.reproduce(run), lineage.branch(run, "last", more)):
        assert sha256_of(other.directory.init) == run.spec["weights"] == other.spec["weights"]
    assert (train(other).fidelity, other.step, other.parent_step) == ("exact", 384, 256)


@pytest.mark.slow
@pytest.mark.usefixtures("quiet")
def test_weights_that_do_not_fit_after_all_fail_the_run_in_words(tmp_path: Path) -> None:
    start = weights.from_file(weights_file(tmp_path), "model.zip")
    run = start_run(start)
    other = weights_file(tmp_path, lambda: PPO("MlpPolicy", "Acrobot-v1"))
    run.directory.init.write_bytes(other.read_bytes())
    assert train(run).status == RunStatus.FAILED
    assert "not the file that was recorded" in run.status_reason


def test_a_seed_has_its_parent_s_networks_and_environment_and_a_spec_of_its_own(
    parent: Run,
) -> None:
    run = start_run(weights.from_run(f"{parent.name}@best"), seed=7)
    assert (run.parent, run.parent_step, run.relation) == (parent, 256, "seed")
    assert (run.step, run.seed, run.algorithm) == (0, 7, "ppo")
    assert run.spec["hyperparameters"]["net_arch"] == [8]
    assert run.spec["hyperparameters"]["gamma"] == 0.99
    assert not run.directory.has_checkpoint(256)
    model = parent.directory.checkpoints / "256" / "model.zip"
    assert run.directory.init.samefile(model), "linked: it never changes"
    records.delete(parent)
    run.refresh_from_db()
    assert run.parent is None
    Run.objects.all().delete()
    rebuilt = reindex.reindex_run(run.directory)
    assert (rebuilt.relation, rebuilt.parent_step) == ("seed", 256)
    assert rebuilt.configuration_hash == run.configuration_hash


def test_weights_of_another_backend_are_in_no_model_file(parent: Run) -> None:
    parent.spec["backend"] = "sbx"
    parent.save()
    with pytest.raises(InvalidSpec, match=r"trained by sbx, .* `branch` goes on from it"):
        weights.from_run(parent.pk)


def test_a_run_from_weights_is_no_seed_of_one_without(parent: Run) -> None:
    spec = weights.check_spec(TINY_PPO, weights.from_run("parent"))
    assert life.create(spec, origin=weights.from_run("parent").origin).configuration_hash != (
        life.create(checking.check_spec(TINY_PPO)).configuration_hash
    )


def test_an_import_is_a_copy_that_keeps_its_name(tmp_path: Path) -> None:
    path = weights_file(tmp_path)
    run = start_run(weights.from_text(str(path)))
    assert not run.directory.init.samefile(path)
    assert read_json(run.directory.record)["file_name"] == "model.zip"


@pytest.mark.parametrize(
    ("data", "field", "said"),
    [
        ({"algorithm": "a2c"}, "algorithm", "these weights are of PPO"),
        ({"environment": "Acrobot-v1"}, "environment", "observations are of 6 numbers and the we"),
        ({"environment": "Nothing-v0"}, "environment", "not a registered"),
        ({"hyperparameters": {"net_arch": [9]}}, "hyperparameters.net_arch", "with [8]"),
        ({"hyperparameters": {"use_sde": True}}, "hyperparameters.use_sde", "with False"),
    ],
)
def test_what_the_weights_do_not_fit_is_refused_before_anything_is_made(
    parent: Run, data: dict[str, Any], field: str, said: str
) -> None:
    with pytest.raises(InvalidSpec) as refused:
        start_run(weights.from_run("parent"), **data)
    assert [error.field for error in refused.value.errors] == [field]
    assert said in str(refused.value)
    assert Run.objects.count() == 1
    assert len(list(parent.directory.path.parent.iterdir())) == 1


def test_a_seed_takes_its_parent_s_environment_as_it_was_made(parent: Run) -> None:
    parent.spec["environment_kwargs"] = {"sutton_barto_reward": True}
    parent.save()
    start = weights.from_run("parent")
    for data in ({}, {"environment": "CartPole-v1"}):
        assert weights.check_spec(data, start).environment_kwargs == {"sutton_barto_reward": True}
    other = weights.check_spec({"environment": "CartPole-v0"}, start)
    assert other.environment_kwargs == {}


def test_a_checkpoint_whose_files_are_gone_is_no_start(parent: Run) -> None:
    (parent.directory.checkpoints / "256" / "model.zip").unlink()
    with pytest.raises(InvalidSpec, match="gone or damaged"):
        weights.from_run("parent")


def test_a_checkpoint_that_was_exchanged_is_no_start(parent: Run) -> None:
    parent.checkpoints.update(sha256="0" * 64)
    with pytest.raises(InvalidSpec, match="not the one that was recorded"):
        weights.from_run("parent")


def test_a_file_tells_how_its_entropy_is_weighed_and_which_algorithm_it_is_of(
    tmp_path: Path,
) -> None:
    def soft(**options: Any) -> weights.Start:
        make = lambda: SAC("MlpPolicy", "Pendulum-v1", buffer_size=9, **options)  # noqa: E731
        return weights.from_file(weights_file(tmp_path, make), "soft.zip")

    world = {"environment": "Pendulum-v1", "total_timesteps": 100}
    fixed, learnt = soft(ent_coef=0.2, policy_kwargs={"net_arch": [8]}), soft(use_sde=True)
    spec = weights.check_spec(world, fixed)
    assert (spec.algorithm, spec.hyperparameters["ent_coef"]) == ("sac", 0.2)
    other = {**world, "hyperparameters": {"ent_coef": 0.1}}
    assert weights.check_spec(other, fixed).hyperparameters["ent_coef"] == 0.1
    spec = weights.check_spec({**world, "hyperparameters": {"ent_coef": "auto_0.1"}}, learnt)
    assert (spec.hyperparameters["ent_coef"], spec.hyperparameters["use_sde"]) == (
        "auto_0.1",
        True,
    )
    with pytest.raises(InvalidSpec, match="with 'auto'"):
        weights.check_spec(other, learnt)
    path = weights_file(tmp_path, lambda: DDPG("MlpPolicy", "Pendulum-v1", buffer_size=9))
    assert weights.check_spec(world, weights.from_text(str(path))).algorithm == "ddpg"
