"""The dashboard's row that starts a run offers what can act in its environment."""

import re
from pathlib import Path

import pytest
from django.test import Client

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.jobs.verbs.environments import profile_of


def offered(reader: Client, **query: str) -> tuple[list[str], str]:
    """Return the algorithms that are offered, and the chosen one."""
    html = reader.get("/", query).content.decode()
    select = re.search(r'<select name="algorithm".*?</select>', html, re.DOTALL)
    assert select is not None
    chosen = re.search(r'value="(\w+)" selected', select[0])
    assert chosen is not None
    return re.findall(r'<option value="(\w+)"', select[0]), chosen[1]


@pytest.mark.parametrize("environment", ["CartPole-v1", "Pendulum-v1", "ALE/Pong-v5", "Taxi-v4"])
def test_only_what_fits_is_offered(reader: Client, environment: str) -> None:
    names, chosen = offered(reader, environment=environment)
    assert sorted(names) == sorted(profile_of(environment).algorithms)
    assert chosen == "ppo"


def test_no_environment_is_left_without_an_algorithm(home: Path) -> None:
    assert all(profile_of(name).algorithms for name in ENVIRONMENTS)


def test_it_begins_with_cart_pole_and_without_what_cannot_balance_it(reader: Client) -> None:
    names, _ = offered(reader)
    assert "dqn" in names
    assert not {"sac", "td3", "ddpg", "tqc", "crossq"} & set(names)


def test_the_chosen_one_is_kept_while_it_fits(reader: Client) -> None:
    assert offered(reader, environment="Pendulum-v1", algorithm="sac")[1] == "sac"
    assert offered(reader, environment="CartPole-v1", algorithm="sac")[1] == "ppo"


def test_of_an_environment_that_nobody_knows_all_are_offered(reader: Client) -> None:
    names, _ = offered(reader, environment="mine:Game-v0")
    assert {"ppo", "sac", "dqn"} <= set(names)


def test_what_does_not_fit_is_refused_all_the_same(reader: Client) -> None:
    response = reader.post(
        "/runs/new/", {"algorithm": "sac", "environment": "CartPole-v1", "length": "quick"}
    )
    assert response.status_code == 422
    assert "SAC cannot act in CartPole-v1" in response.content.decode()
