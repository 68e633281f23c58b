"""Many runs at once."""

import threading
from pathlib import Path

import pytest
from django.db import connection

from apps.experiments.groups import groups_of
from apps.experiments.models import Experiment, Run
from apps.experiments.statuses import RunStatus
from apps.jobs.verbs import batches, checking, life, lineage, refusals, reindex
from apps.jobs.verbs.batches import PlannedLine
from apps.jobs.verbs.naming import Naming
from apps.spec.seeds import configuration_hash, with_seeds
from tests.builders import TINY_PPO

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
ROOT = Path(__file__).resolve().parents[3]
SPEC = checking.check_spec(TINY_PPO)


@pytest.mark.parametrize(
    ("name", "names"),
    [
        ("", ["ppo-CartPole-v1-s1", "ppo-CartPole-v1-s2"]),
        ("mine", ["mine-s1", "mine-s2"]),
        ("x" * 120, ["x" * 117 + "-s1", "x" * 117 + "-s2"]),
    ],
)
def test_seeds_are_runs_of_one_experiment_that_read_as_one_group(
    name: str, names: list[str]
) -> None:
    runs = batches.launch_all(with_seeds(SPEC, 2), Naming(name))
    assert [run.name for run in runs] == names
    assert [run.status for run in runs] == [RunStatus.QUEUED] * 2
    assert {run.experiment.name for run in runs} == {"PPO on CartPole-v1"}
    assert len({run.configuration_hash for run in runs}) == 1


def test_seeds_keep_one_name_where_some_of_them_are_taken() -> None:
    batches.launch_all(with_seeds(SPEC, 2))
    again = [run.name for run in batches.launch_all(with_seeds(SPEC, 3))]
    assert again == [f"ppo-CartPole-v1-2-s{seed}" for seed in (1, 2, 3)]


@pytest.mark.django_db(transaction=True)
def test_workers_are_rung_for_each_run_when_all_of_them_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    waiting: list[int] = []

    def ring() -> None:
        waiting.append(Run.objects.filter(status=RunStatus.QUEUED).count())

    monkeypatch.setattr(batches, "work_on_runs", ring)
    batches.launch_all(with_seeds(SPEC, 3))
    assert waiting == [3, 3, 3]
    batches.launch_all(with_seeds(SPEC, 3), is_started=False)
    batches.carry_out(batches.plan(GRID))
    assert waiting == [3, 3, 3, *[9] * 6]


def test_a_configuration_s_hash_outlives_the_database() -> None:
    run = life.create(SPEC)
    Run.objects.all().delete()
    reindex.reindex()
    again = Run.objects.get(pk=run.pk)
    assert again.configuration_hash == run.configuration_hash == configuration_hash(SPEC.as_dict())


def test_an_experiment_s_seeds_are_taken_together() -> None:
    runs = batches.launch_all(with_seeds(SPEC, 3), Naming(experiment="Q"))
    other = life.create(
        checking.check_spec({**TINY_PPO, "total_timesteps": 512}), Naming(experiment="Q")
    )
    for run, figure in zip(runs, (10.0, 20.0, 60.0), strict=True):
        Run.objects.filter(pk=run.pk).update(status=RunStatus.COMPLETED, return_last=figure)
    lineage.reproduce(Run.objects.get(pk=runs[0].pk))
    newest, seeds = groups_of(Experiment.objects.get(name="Q"))
    assert (newest.n_runs, newest.returns.mean) == (1, None)
    assert [(d.name, d.before, d.after) for d in newest.differences] == [
        ("total_timesteps", 256, other.total_timesteps)
    ]
    assert (seeds.n_runs, seeds.n_active, seeds.differences) == (3, 0, [])
    assert (seeds.seed_first, seeds.seed_last) == (1, 3)
    assert (seeds.returns.mean, seeds.returns.least, seeds.returns.greatest) == (30, 10, 60)


GRID = """
defaults: {experiment: Grid, total_timesteps: 256, hyperparameters: {n_steps: 64, batch_size: 32}}
runs:
  - {seeds: 2, grid: {hyperparameters.gamma: [0.9, 0.99]}}
  - {name: mine, environment: Acrobot-v1, grid: {hyperparameters.net_arch: [[8], [8, 8]]}}
"""


def states(lines: list[PlannedLine]) -> list[str]:
    return [run.state for line in lines for run in line.runs]


def test_a_batch_is_queued_once_whatever_became_of_its_runs() -> None:
    assert states(batches.plan(GRID)) == ["new"] * 6
    assert not Run.objects.exists()
    made = batches.carry_out(batches.plan(GRID))
    assert [run.name for run in made] == [
        "ppo-CartPole-v1-gamma=0.9-s1",
        "ppo-CartPole-v1-gamma=0.9-s2",
        "ppo-CartPole-v1-gamma=0.99-s1",
        "ppo-CartPole-v1-gamma=0.99-s2",
        "mine-net_arch=8",
        "mine-net_arch=8,8",
    ]
    assert {run.experiment.name for run in made} == {"Grid"}
    for run, status in zip(made, (RunStatus.FAILED, RunStatus.COMPLETED), strict=False):
        Run.objects.filter(pk=run.pk).update(status=status)
    again = batches.plan(GRID)
    assert states(again) == ["there"] * 6
    assert [run.run.pk for line in again for run in line.runs if run.run] == [r.pk for r in made]
    assert batches.carry_out(again) == []
    more = batches.plan(GRID.replace("seeds: 2", "seeds: 3"))
    assert states(more) == ["there", "there", "new", "there", "there", "new", "there", "there"]


@pytest.mark.django_db(transaction=True)
def test_a_batch_that_is_called_twice_at_once_is_queued_once() -> None:
    def queue_it() -> None:
        with batches.one_at_a_time():
            batches.carry_out(batches.plan("runs: [{seeds: 5, total_timesteps: 256}]"))
        connection.close()

    threads = [threading.Thread(target=queue_it) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Run.objects.count() == 5


@pytest.mark.parametrize(
    ("relation", "state"), [("branch", "new"), ("continue", "new"), ("retry", "there")]
)
def test_what_goes_on_from_another_run_is_not_what_a_batch_asks_for(
    relation: str, state: str
) -> None:
    file = "runs: [{total_timesteps: 256, experiment: Q}]"
    (run,) = batches.carry_out(batches.plan(file))
    Run.objects.filter(pk=run.pk).update(relation=relation)
    assert states(batches.plan(file)) == [state]


def test_a_run_that_is_asked_for_twice_is_made_once() -> None:
    lines = batches.plan("runs: [{seeds: 2}, {preset: null, seed: 2, seeds: [2], name: same}]")
    assert lines[1].errors
    lines = batches.plan("runs: [{seeds: 2}, {seeds: [2, 3], name: same}]")
    assert states(lines) == ["new", "new", "repeated", "new"]
    assert len(batches.carry_out(lines)) == 3


@pytest.mark.parametrize(
    ("entry", "field"),
    [
        ("{hyperparameters: {gamma: 2}}", "hyperparameters.gamma"),
        ("{priority: 101}", "priority"),
        ("{seeds: 0}", "seeds"),
        (f"{{experiment: {'x' * 121}}}", "experiment"),
        ("{algorithm: dqn, environment: Pendulum-v1}", "algorithm"),
    ],
)
def test_nothing_is_queued_when_a_line_is_refused(entry: str, field: str) -> None:
    good, bad = batches.plan(f"runs: [{{seeds: 2}}, {entry}]")
    assert not good.errors
    assert [error.field for error in bad.errors] == [field]
    with pytest.raises(refusals.Refused, match="1 of 2 lines are refused"):
        batches.carry_out([good, bad])
    assert not Run.objects.exists()


def test_the_example_asks_for_27_runs_of_nine_configurations() -> None:
    lines = batches.plan((ROOT / "examples" / "batch.yaml").read_text())
    assert [len(line.runs) for line in lines] == [3] * 9
    assert states(lines) == ["new"] * 27
