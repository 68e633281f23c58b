"""The pages of environments: what there is, what each number means, where to go from there."""

from dataclasses import replace
from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.families import FAMILIES
from apps.jobs.verbs.own_environments import own_environments
from tests.builders import make_run
from tests.dashboard.reading import inline_parts


def listed(reader: Client, **query: str) -> str:
    response = reader.get("/environments/", query)
    assert response.status_code == 200
    return response.content.decode()


def test_every_environment_is_listed_and_a_missing_package_says_what_to_type(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FAMILIES, "atari", replace(FAMILIES["atari"], package="not_here"))
    html = listed(reader)
    assert all(f">{name}<" in html for name in ENVIRONMENTS)
    assert escape(FAMILIES["atari"].install) in html
    assert "algorithm=ppo" in html
    assert "New run on ALE/Pong-v5" not in html
    assert "New run on CartPole-v1" in html
    page = reader.get("/environments/ALE/Pong-v5/").content.decode()
    assert escape(FAMILIES["atari"].install) in page


@pytest.mark.parametrize(
    ("query", "there", "gone"),
    [
        ({"search": "POLE cart"}, "CartPole-v1", "Acrobot-v1"),
        ({"family": "atari"}, "ALE/Pong-v5", "CartPole-v1"),
        ({"algorithm": "sac"}, "Pendulum-v1", "CartPole-v1"),
        ({"algorithm": "crossq"}, "Pendulum-v1", "CarRacing-v3"),
        ({"family": "nonsense"}, "CartPole-v1", "no match"),
    ],
)
def test_the_list_is_filtered_without_a_script(
    reader: Client, query: dict[str, str], there: str, gone: str
) -> None:
    html = listed(reader, **query)
    assert f">{there}<" in html
    assert f">{gone}<" not in html


def test_a_filter_that_nothing_passes_says_so(reader: Client) -> None:
    assert "No environment passes this filter" in listed(reader, search="unicorn")


@pytest.mark.parametrize("environment", ["CartPole-v1", "ALE/Pong-v5", "Humanoid-v5", "Taxi-v4"])
def test_an_environment_has_a_page(reader: Client, environment: str) -> None:
    run = make_run(name="mine", environment=environment)
    response = reader.get(reverse("environment", args=[environment]))
    html = response.content.decode()
    assert response.status_code == 200
    assert inline_parts(html) == []
    assert ENVIRONMENTS[environment].meaning in html
    assert run.get_absolute_url() in html
    assert "preset=high_score" in html


def test_the_page_says_what_each_number_means_and_what_a_run_takes(reader: Client) -> None:
    html = reader.get("/environments/CartPole-v1/").content.decode()
    for said in ("pole angle", "rad", "-4.8", "push left", "475", "52\xa0bytes", "tuned"):
        assert said in html, said
    assert "acts in box only" in html


def test_a_module_that_breaks_shows_its_error_and_breaks_nothing(
    reader: Client, home: Path
) -> None:
    folder = home / "environments"
    folder.mkdir()
    (folder / "own_broken.py").write_text("raise RuntimeError('<no licence>')")
    own_environments(wait_s=60)
    html = reader.get("/environments/own_broken/").content.decode()
    assert "RuntimeError: &lt;no licence&gt;" in html
    assert "RuntimeError" in listed(reader)
    assert reader.get("/runs/new/").status_code == 200


@pytest.mark.parametrize("environment", ["Nope-v0", "../runs", "a/b/c", "%00"])
def test_an_environment_nobody_has_is_not_found(reader: Client, environment: str) -> None:
    assert reader.get(f"/environments/{environment}/").status_code == 404
