"""Runs that start from weights, over REST: a model file is uploaded, a run is named."""

import io
import zipfile
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from stable_baselines3 import PPO

from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from tests.api.clients import ApiClient, assert_problem
from tests.builders import make_run

SPEC = {"environment": "CartPole-v1", "total_timesteps": 256}


@pytest.fixture(scope="session")
def model_zip(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A PPO on CartPole that the bare library saved."""
    path = tmp_path_factory.mktemp("model") / "model.zip"
    PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [7]}).save(path)
    return path.read_bytes()


def upload(api: ApiClient, content: bytes | None, spec: Any = SPEC, name: str = "mine.zip") -> Any:
    data: dict[str, Any] = {}
    if spec is not None:
        data["spec"] = spec if isinstance(spec, str) else orjson.dumps(spec).decode()
    if content is not None:
        data["file"] = SimpleUploadedFile(name, content)
    return api._client.post("/api/v1/runs/import", data)


def test_an_uploaded_model_becomes_a_queued_run(api: ApiClient, model_zip: bytes) -> None:
    response = upload(api, model_zip, {**SPEC, "name": "old friend"}, "../best model.zip")
    assert response.status_code == 201, response.content
    shown = response.json()
    assert (shown["status"], shown["relation"], shown["parent_id"]) == ("queued", "import", None)
    assert (shown["name"], shown["algorithm"]) == ("old friend", "ppo")
    assert shown["spec"]["hyperparameters"]["net_arch"] == [7]
    run = Run.objects.get()
    assert response["Location"].endswith(run.pk)
    assert run.directory.init.read_bytes() == model_zip
    lineage = api.get(f"/runs/{run.pk}/lineage").json()
    assert (lineage["parent"], lineage["file_name"]) == (None, "best model.zip")


def test_a_draft_and_seeds_may_start_from_a_file_too(api: ApiClient, model_zip: bytes) -> None:
    runs = upload(api, model_zip, {**SPEC, "seeds": 2, "start": False}).json()["runs"]
    assert [(run["seed"], run["status"]) for run in runs] == [(1, "draft"), (2, "draft")]
    assert len({run.spec["weights"] for run in Run.objects.all()}) == 1


def without_networks() -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("data", "{}")
    return target.getvalue()


@pytest.mark.parametrize(
    ("content", "spec", "field", "said"),
    [
        (b"no zip", SPEC, "file", "not a sound zip file"),
        (b"", SPEC, "file", "not a sound zip file"),
        (without_networks(), SPEC, "file", "no policy.pth"),
        (None, SPEC, "file", "required"),
        ("model", None, "body", "required"),
        ("model", {**SPEC, "algorithm": "dqn"}, "algorithm", "these weights are of PPO"),
        ("model", {**SPEC, "algorithm": ["ppo"]}, "algorithm", "is not an algorithm"),
        ("model", {**SPEC, "environment": "Acrobot-v1"}, "environment", "of 6 numbers"),
        ("model", {**SPEC, "environment": "Pendulum-v1"}, "environment", "are of 3 numbers"),
        (
            "model",
            {**SPEC, "hyperparameters": {"net_arch": [8]}},
            "hyperparameters.net_arch",
            r"[8] is not allowed; the weights are of networks with [7]",
        ),
        (
            "model",
            {**SPEC, "hyperparameters": {"net_arch": "wide"}},
            "hyperparameters.net_arch",
            "a list of 1 to 8",
        ),
        ("model", {**SPEC, "hyperparameters": 7}, "hyperparameters", "is not an object"),
        ("model", {**SPEC, "colour": "red"}, "colour", "unknown"),
        ("model", {**SPEC, "init": "latest"}, "init", "not both"),
    ],
)
def test_a_refused_upload_names_what_is_wrong_and_leaves_nothing(
    api: ApiClient, model_zip: bytes, home: Path, content: Any, spec: Any, field: str, said: str
) -> None:
    response = upload(api, model_zip if content == "model" else content, spec)
    (error,) = assert_problem(response, 422)["errors"]
    assert error["field"] == field
    assert said in error["message"]
    assert not Run.objects.exists()
    assert not (home / "media" / "runs").exists()


def test_a_spec_that_is_no_json_is_malformed(api: ApiClient, model_zip: bytes) -> None:
    assert_problem(upload(api, model_zip, "{"), 400)


def test_a_session_needs_its_csrf_token(admin_user: Any, model_zip: bytes) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(admin_user)
    file = SimpleUploadedFile("a.zip", model_zip)
    assert client.post("/api/v1/runs/import", {"file": file, "spec": "{}"}).status_code == 403


@pytest.mark.parametrize(
    ("init", "said"),
    [
        ("nothing", "no run has the id"),
        ("here@best", "has no checkpoint"),
        ("here@64", "has no checkpoint"),
    ],
)
def test_weights_of_a_run_that_are_not_there_are_refused(
    api: ApiClient, init: str, said: str
) -> None:
    make_run(name="here", status=RunStatus.COMPLETED)
    (error,) = assert_problem(api.post("/runs", {"init": init}), 422)["errors"]
    assert error["field"] == "init"
    assert said in error["message"]


def test_a_hash_without_its_file_is_refused(api: ApiClient) -> None:
    for weights, said in (("0" * 64, "given with the spec"), ("abc", "no SHA-256")):
        (error,) = assert_problem(api.post("/runs", {**SPEC, "weights": weights}), 422)["errors"]
        assert error["field"] == "weights"
        assert said in error["message"]
