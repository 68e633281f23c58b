"""Many runs at once."""

import pytest

from apps.engine.expansion import configuration_hash, with_seeds
from apps.experiments.groups import groups_of
from apps.experiments.models import Experiment, Run, RunStatus
from apps.jobs import batches, control, lineage, reindexing
from tests.conftest import TINY_PPO

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]
SPEC = control.check_spec(TINY_PPO)


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
    runs = batches.launch_all(with_seeds(SPEC, 2), control.Naming(name))
    assert [run.name for run in runs] == names
    assert [run.status for run in runs] == [RunStatus.QUEUED] * 2
    assert {run.experiment.name for run in runs} == {"PPO on CartPole-v1"}
    assert len({run.configuration_hash for run in runs}) == 1


def test_a_configuration_s_hash_outlives_the_database() -> None:
    run = control.create(SPEC)
    Run.objects.all().delete()
    reindexing.reindex()
    again = Run.objects.get(pk=run.pk)
    assert again.configuration_hash == run.configuration_hash == configuration_hash(SPEC.as_dict())


def test_an_experiment_s_seeds_are_taken_together() -> None:
    runs = batches.launch_all(with_seeds(SPEC, 3), control.Naming(experiment="Q"))
    other = control.create(
        control.check_spec({**TINY_PPO, "total_timesteps": 512}), control.Naming(experiment="Q")
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
