"""Whatever door a spec comes to, it hears the same refusals of its environment."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from apps.accounts.models import first_admin
from apps.engine.checker import preflight
from apps.engine.training.training import train
from apps.errors import FieldError, InvalidSpec
from apps.experiments.models import Run
from apps.jobs.verbs import checking
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]

MISFITS: dict[str, tuple[dict[str, Any], list[str]]] = {
    "actions": ({"algorithm": "dqn", "environment": "Pendulum-v1"}, ["algorithm"]),
    "masks": ({"algorithm": "maskable_ppo", "environment": "CartPole-v1"}, ["algorithm"]),
    "actions, exploration and goals": (
        {
            "algorithm": "sac",
            "environment": "CartPole-v1",
            "hyperparameters": {"use_sde": True, "her": True},
        },
        ["algorithm", "hyperparameters.use_sde", "hyperparameters.her"],
    ),
    "goals and normalising": (
        {
            "algorithm": "dqn",
            "environment": "FrozenLake-v1",
            "hyperparameters": {"her": True},
            "normalize": {"norm_obs": True, "norm_reward": True},
        },
        ["hyperparameters.her", "normalize"],
    ),
    "goals that pay nothing": (
        {
            "algorithm": "dqn",
            "environment": "tests.worlds.goal_walk:SilentGoalWalk-v0",
            "hyperparameters": {"her": True},
        },
        ["hyperparameters.her"],
    ),
    "text": (
        {
            "algorithm": "sac",
            "environment": "tests.worlds.odd_worlds:TextObservation-v0",
            "hyperparameters": {"her": True},
        },
        ["environment"],
    ),
}


def told_before_the_queue(data: dict[str, Any], folder: Path) -> list[FieldError]:
    with pytest.raises(InvalidSpec) as refused:
        checking.check_spec(data)
    return refused.value.errors


def told_by_the_form(data: dict[str, Any], folder: Path) -> list[FieldError]:
    values = {
        f"hyperparameters.{name}": str(value).lower()
        for name, value in data.get("hyperparameters", {}).items()
    }
    normalize = {"normalize": "both"} if "normalize" in data else {}
    fields = {"algorithm": data["algorithm"], "environment": data["environment"]}
    client = Client()
    client.force_login(first_admin())
    response: Any = client.post("/runs/new/", {**fields, **values, **normalize})
    assert response.status_code == 422
    shown = response.context["form"].errors
    beside = [(name, words) for name, each in shown.items() for words in each if name != "__all__"]
    above = [words.partition(": ")[::2] for words in shown.get("__all__", [])]  # Of hidden fields.
    return [FieldError(name, words) for name, words in (*above, *beside)]


def told_by_rest(data: dict[str, Any], folder: Path) -> list[FieldError]:
    client = Client()
    client.force_login(first_admin())
    response = client.post("/api/v1/runs", data, content_type="application/json")
    assert response.status_code == 422
    return [FieldError(each["field"], each["message"]) for each in response.json()["errors"]]


def told_by_the_check(data: dict[str, Any], folder: Path) -> list[FieldError]:
    found = preflight(RunSpec.from_dict(data), lambda *_: None).findings
    assert {each.severity for each in found} == {"refusal"}
    return [FieldError(each.field, each.message) for each in found]


def told_by_the_trainer(data: dict[str, Any], folder: Path) -> list[FieldError]:
    spec = RunSpec.from_dict(data)
    record = {"id": "unfit", "name": "unfit"}
    directory = RunDirectory(folder / "unfit").create(spec.as_dict(), record)
    with pytest.raises(InvalidSpec) as refused:
        train(spec, directory)
    return refused.value.errors


@pytest.mark.parametrize("name", MISFITS)
@pytest.mark.parametrize(
    "door",
    [told_by_the_form, told_by_rest, told_by_the_check, told_by_the_trainer],
)
def test_every_door_tells_the_same_refusals(
    name: str, door: Callable[[dict[str, Any], Path], list[FieldError]], tmp_path: Path
) -> None:
    data, fields = MISFITS[name]
    told = told_before_the_queue(data, tmp_path)
    assert [each.field for each in told] == fields
    assert door(data, tmp_path) == told
    assert not Run.objects.exists()


@pytest.mark.slow
def test_processes_of_their_own_are_asked_as_well(tmp_path: Path) -> None:
    data, _ = MISFITS["goals that pay nothing"]
    paying = {**data, "environment": "tests.worlds.goal_walk:GoalWalk-v0"}
    asked = {"vectorization": "subprocess", "n_envs": 2}
    assert told_by_the_trainer({**data, **asked}, tmp_path) == told_before_the_queue(
        data, tmp_path
    )
    spec = RunSpec.from_dict({**paying, **asked, "total_timesteps": 200})
    small = {**spec.hyperparameters, "learning_starts": 100, "buffer_size": 500, "net_arch": [8]}
    directory = RunDirectory(tmp_path / "fits").create(spec.as_dict(), {"id": "a", "name": "a"})
    assert train(replace(spec, hyperparameters=small), directory).status == "completed"
