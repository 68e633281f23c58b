"""The form of a new run: refusals beside their fields, nothing of it lost."""

from dataclasses import replace
from pathlib import Path

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from apps.catalogue.algorithms.backends import BACKENDS
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.presets.presets import preset_for
from apps.dashboard.new_run.forms import RunForm
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from tests.dashboard.reading import PLAIN, refusals
from tests.full_disk import fill, small_disk


def post(reader: Client, **fields: str) -> HttpResponse:
    """Send the form with fields over the plain ones."""
    return reader.post("/runs/new/", {**PLAIN, **fields})  # type: ignore[return-value]


def test_a_filled_form_queues_a_run(reader: Client) -> None:
    response = post(reader, name="mine", experiment="Question one")
    run = Run.objects.get()
    assert response["Location"] == f"/runs/{run.pk}/"
    assert (run.name, run.experiment.name, run.seed) == ("mine", "Question one", 3)
    assert run.status == RunStatus.QUEUED
    assert run.total_timesteps == 20_000
    assert run.spec["n_envs"] == preset_for("ppo", "CartPole-v1", "fast").n_envs


def test_the_row_of_the_dashboard_suffices(reader: Client) -> None:
    fields = {
        "algorithm": "dqn",
        "environment": "CartPole-v1",
        "preset": "fast",
        "length": "quick",
    }
    reader.post("/runs/new/", fields)
    assert Run.objects.get().algorithm == "dqn"


def test_exact_steps_win_over_the_length(reader: Client) -> None:
    post(reader, total_timesteps="1234")
    assert Run.objects.get().total_timesteps == 1234


def test_hyperparameters_win_over_the_preset(reader: Client) -> None:
    post(reader, **{"hyperparameters.gamma": "0.5", "hyperparameters.net_arch": "32, 16"})
    given = Run.objects.get().spec["hyperparameters"]
    assert given["gamma"] == 0.5
    assert given["net_arch"] == [32, 16]
    assert given["gae_lambda"] == 0.8, "blank keeps the preset's"


def test_null_can_be_typed(reader: Client) -> None:
    fields = {"hyperparameters.net_arch": "null", "preset": "high_score", "algorithm": "dqn"}
    post(reader, **fields)
    assert Run.objects.get().spec["hyperparameters"]["net_arch"] is None


def test_what_is_normalised_is_chosen_over_the_preset(reader: Client) -> None:
    tuned = {"algorithm": "a2c", "environment": "Pendulum-v1", "preset": "high_score"}
    html = reader.get("/runs/new/", tuned).content.decode()
    assert '<option value="" selected>both (preset)</option>' in html
    post(reader, **tuned)
    post(reader, **tuned, normalize="rewards")
    post(reader, **tuned, normalize="nothing")
    chosen = [run.spec["normalize"] for run in Run.objects.order_by("created_at")]
    assert [given and (given["norm_obs"], given["norm_reward"]) for given in chosen] == [
        (True, True),
        (False, True),
        None,
    ]


def test_what_cannot_be_normalised_is_told_beside_the_field(reader: Client) -> None:
    response = post(reader, environment="FrozenLake-v1", normalize="both")
    assert "norm_obs" in refusals(response)["normalize"][0]


def test_how_environments_are_stepped_is_chosen_or_refused_beside_the_field(
    reader: Client,
) -> None:
    post(reader, vectorization="native")
    assert Run.objects.get().spec["vectorization"] == "native"
    response = post(reader, vectorization="native", environment="Acrobot-v1")
    assert "no vector version" in refusals(response)["vectorization"][0]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("environment", "No Such!"),
        ("normalize", "everything"),
        ("environment", ""),
        ("seed", "-1"),
        ("seed", "many"),
        ("total_timesteps", "0"),
        ("total_timesteps", "99999999999"),
        ("n_envs", "1000"),
        ("preset", "best"),
        ("length", "endless"),
        ("device", "tpu"),
        ("name", "n" * 121),
        ("hyperparameters.learning_rate", "fast"),
        ("hyperparameters.gamma", "1.5"),
        ("hyperparameters.normalize_advantage", "perhaps"),
        ("hyperparameters.batch_size", "100000"),
    ],
)
def test_a_refused_value_is_told_beside_its_field_and_kept(
    reader: Client, field: str, value: str
) -> None:
    response = post(reader, **{field: value, "experiment": "kept"})
    assert [*refusals(response)] == [field]
    html = response.content.decode()
    assert 'value="kept"' in html
    if value and "choice" not in type(RunForm(PLAIN).fields[field]).__name__.lower():
        assert f'value="{value}"' in html
    assert not Run.objects.exists()


def test_every_refusal_is_shown_at_once(reader: Client) -> None:
    response = post(reader, seed="-1", **{"hyperparameters.gamma": "2"})
    assert {*refusals(response)} == {"seed", "hyperparameters.gamma"}
    assert "it must be" in refusals(response)["hyperparameters.gamma"][0]


def test_refused_hyperparameters_are_unfolded(reader: Client) -> None:
    html = post(reader, **{"hyperparameters.gamma": "2"}).content.decode()
    assert '<details class="panel" open>' in html


def test_an_unknown_algorithm_is_refused_at_the_top(reader: Client) -> None:
    assert "ppo" in refusals(post(reader, algorithm="pppo"))["__all__"][0]


def test_an_algorithm_that_cannot_act_there_is_refused(reader: Client) -> None:
    message = refusals(post(reader, algorithm="dqn", environment="Pendulum-v1"))["__all__"][0]
    assert "box" in message


@pytest.mark.parametrize("name", ALGORITHMS)
def test_choosing_an_algorithm_is_a_plain_link(reader: Client, name: str) -> None:
    html = reader.get("/runs/new/", {"algorithm": name}).content.decode()
    for hyperparameter in ALGORITHMS[name].hyperparameters:
        assert f'name="hyperparameters.{hyperparameter}"' in html
    assert f'<input type="hidden" name="algorithm" value="{name}"' in html


def test_a_backend_shows_its_own_hyperparameters(reader: Client) -> None:
    query = {"algorithm": "sac", "backend": "sbx"}
    html = reader.get("/runs/new/", query).content.decode()
    assert 'value="sbx" selected' in html
    assert 'name="hyperparameters.qf_learning_rate"' in html
    assert 'name="hyperparameters.use_sde"' not in html
    # What the backend lacks shows the algorithm itself.
    html = reader.get("/runs/new/", {**query, "algorithm": "a2c"}).content.decode()
    assert 'value="sbx"' not in html
    assert 'name="hyperparameters.use_rms_prop"' in html


def test_a_backend_that_is_not_installed_is_told_beside_its_field(
    reader: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BACKENDS, "sbx", replace(BACKENDS["sbx"], package="no_such_package"))
    response = post(reader, backend="sbx", preset="stable")
    assert "pip install 'sbx-rl" in refusals(response)["backend"][0]
    assert ", not installed</option>" in response.content.decode()


def test_what_was_typed_comes_along(reader: Client) -> None:
    query = {"algorithm": "dqn", "seed": "77", "environment": "Acrobot-v1", "preset": "stable"}
    html = reader.get("/runs/new/", query).content.decode()
    assert 'value="77"' in html
    assert 'value="Acrobot-v1"' in html
    assert 'value="stable" selected' in html


def test_blank_fields_show_what_the_preset_gives(reader: Client) -> None:
    html = reader.get("/runs/new/", {"algorithm": "ppo", "preset": "fast"}).content.decode()
    preset = preset_for("ppo", "CartPole-v1", "fast")
    assert f'placeholder="{preset.hyperparameters["n_steps"]} (preset)"' in html
    html = reader.get("/runs/new/", {"algorithm": "ppo", "preset": ""}).content.decode()
    assert 'placeholder="2048 (default)"' in html


def test_an_algorithm_nobody_has_shows_the_default_form(reader: Client) -> None:
    assert reader.get("/runs/new/", {"algorithm": "'><script>"}).status_code == 200


@pytest.mark.slow
def test_a_check_shows_its_findings_in_the_page_and_queues_nothing(reader: Client) -> None:
    response = post(reader, algorithm="sac", check="1", name="kept")
    html = response.content.decode()
    assert response.status_code == 200
    assert "SAC cannot act in CartPole-v1" in html
    assert "algorithms that can: ppo" in html
    assert 'value="kept"' in html
    assert not Run.objects.exists()


def test_a_check_of_a_refused_form_says_so_beside_the_field(reader: Client) -> None:
    response = post(reader, seed="-1", check="1")
    assert [*refusals(response)] == ["seed"]
    assert "Not checked" in response.content.decode()


def test_a_script_that_checks_gets_the_result_alone(reader: Client) -> None:
    response = reader.post(
        "/runs/new/", {**PLAIN, "seed": "-1", "check": "1"}, headers={"HX-Request": "true"}
    )
    html = response.content.decode()
    assert response.status_code == 200
    assert html.lstrip().startswith('<section id="preflight"')
    assert "is not allowed; it must be a whole number from 0" in html


def test_a_full_disk_is_told_on_the_form_and_nothing_of_it_is_lost(
    reader: Client, tmp_path: Path, settings: Settings
) -> None:
    with small_disk(tmp_path / "disk", 4) as disk:
        settings.RUNS_ROOT = disk / "runs"
        settings.RUNS_ROOT.mkdir()
        fill(disk)
        response = post(reader, name="mine")
    assert response.status_code == 409
    assert "disk is full" in response.content.decode()
    assert 'value="mine"' in response.content.decode()
    assert not Run.objects.exists()
