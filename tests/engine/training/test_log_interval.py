"""`log_interval`: how often scalars are logged, as Stable-Baselines3 counts it."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.dashboard.branch.forms import BranchForm
from apps.dashboard.run.settings import facts
from apps.engine.training.dumps import between_dumps, options_of_learn
from apps.engine.training.training import train
from apps.errors import InvalidSpec
from apps.experiments.models import Run
from apps.rundir import events
from apps.rundir.log import read_lines
from apps.spec.run import RunSpec
from apps.spec.seeds import configuration_hash
from tests.builders import TINY_DQN, TINY_PPO, make_directory, make_run
from tests.cli.calling import call


def told(folder: Path, data: dict[str, Any], key: str) -> list[float | None]:
    """Train, and return a scalar of each dump."""
    spec = RunSpec.from_dict(data)
    directory = make_directory(folder, spec)
    train(spec, directory)
    found = map(events.decode, read_lines(directory.log, max_bytes=1 << 24)[0])
    return [one["values"][key] for one in found if key in one.get("values", {})]


def test_an_on_policy_algorithm_logs_every_so_many_rollouts(tmp_path: Path) -> None:
    each = told(tmp_path / "each", TINY_PPO, "time/iterations")
    assert each == [1, 2, 3, 4]
    second = told(tmp_path / "second", {**TINY_PPO, "log_interval": 2}, "time/iterations")
    assert second == [2, 4]


def test_an_off_policy_algorithm_logs_every_so_many_episodes(tmp_path: Path) -> None:
    *fourths, _ = told(tmp_path / "fourths", TINY_DQN, "time/episodes")
    assert fourths == [*range(4, 4 * len(fourths) + 1, 4)]
    ones = told(tmp_path / "ones", {**TINY_DQN, "log_interval": 1}, "time/episodes")
    assert ones == [*range(1, len(ones) + 1)]
    assert len(ones) > len(fourths)


@pytest.mark.parametrize(
    ("data", "between", "library"),
    [
        ({"algorithm": "ppo"}, 1, None),
        ({"algorithm": "a2c"}, 100, None),
        ({"algorithm": "a2c", "log_interval": 7}, 7, None),
        ({"algorithm": "dqn"}, 4, 4),
        ({"algorithm": "dqn", "log_interval": 10}, 10, 10),
        ({"algorithm": "ars"}, 1, 1),
        ({"algorithm": "ars", "log_interval": 3}, 3, 3),
    ],
)
def test_without_one_it_is_as_often_as_is_useful(
    data: dict[str, Any], between: int, library: int | None
) -> None:
    spec = RunSpec.from_dict(data)
    assert between_dumps(spec) == between
    assert options_of_learn(spec) == {"log_interval": library}


def test_a_spec_from_before_reads_and_counts_as_the_same() -> None:
    now = RunSpec.from_dict({})
    before = now.as_dict()
    del before["log_interval"]
    assert RunSpec.from_dict(before) == now
    assert configuration_hash(before) == configuration_hash(now.as_dict())
    with pytest.raises(InvalidSpec, match="log_interval: -1 is not allowed; it must be a whole"):
        RunSpec.from_dict({"log_interval": -1})


@pytest.mark.django_db
@pytest.mark.usefixtures("home")
def test_the_form_the_command_rest_the_branch_and_the_page_have_it(admin_client: Client) -> None:
    assert 'name="log_interval"' in admin_client.get("/runs/new/").content.decode()
    typed = {"algorithm": "ppo", "environment": "CartPole-v1", "log_interval": "3"}
    admin_client.post("/runs/new/", typed)
    admin_client.post("/api/v1/runs", {"log_interval": 3}, content_type="application/json")
    call("train", "--queue", "--log-interval", "3")
    runs = [*Run.objects.all()]
    assert [run.spec["log_interval"] for run in runs] == [3] * 3
    shown = {fact.title: fact.value for fact in facts(runs[0], {})}
    assert shown["Log every"] == "3 rollouts or episodes"
    assert "Log every" not in {fact.title for fact in facts(make_run(), {})}
    form = BranchForm(runs[0])
    assert "3 (parent)" in str(form["log_interval"])
