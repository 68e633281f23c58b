"""Starting from weights in pages: the form of a new run, and what a run's page says of it."""

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from stable_baselines3 import PPO

from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.rundir import events
from tests.builders import make_run
from tests.dashboard.reading import PLAIN, refusals


def model_zip(tmp_path: object) -> SimpleUploadedFile:
    path = f"{tmp_path}/model.zip"
    PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [7]}).save(path)
    with open(path, "rb") as file:  # noqa: PTH123 - it is text here
        return SimpleUploadedFile("old friend.zip", file.read())


def test_a_model_file_in_the_form_starts_a_run(reader: Client, tmp_path: object) -> None:
    response = reader.post("/runs/new/", {**PLAIN, "file": model_zip(tmp_path)})
    run = Run.objects.get()
    assert response["Location"] == f"/runs/{run.pk}/"
    assert run.spec["hyperparameters"]["net_arch"] == [7], "the file's, not the preset's"
    html = reader.get(f"/runs/{run.pk}/").content.decode()
    assert "Import of the model file <code>old friend.zip</code>" in html
    assert run.spec["weights"] in html
    assert 'title="import of a file"' in reader.get("/runs/").content.decode()


def test_a_checkpoint_leads_to_a_form_that_starts_from_its_weights(
    reader: Client, finished: Run
) -> None:
    html = reader.get(f"/runs/{finished.pk}/").content.decode()
    query = f"?algorithm=ppo&amp;environment=CartPole-v1&amp;init={finished.pk}@256"
    assert f'href="/runs/new/{query}"' in html
    form = reader.get(f"/runs/new/{query.replace('&amp;', '&')}").content.decode()
    assert f'value="{finished.pk}@256"' in form
    assert '<details class="panel" open>\n    <summary>Start from weights' in form


def test_what_is_refused_is_told_beside_its_field(reader: Client) -> None:
    response = reader.post("/runs/new/", {**PLAIN, "file": SimpleUploadedFile("a.zip", b"no")})
    assert "not a sound zip" in refusals(response)["file"][0]  # type: ignore[arg-type]
    html = response.content.decode()
    assert '<details class="panel" open>\n    <summary>Start from weights' in html
    response = reader.post("/runs/new/", {**PLAIN, "init": "nobody@best"})
    assert "no run has the id" in refusals(response)["init"][0]  # type: ignore[arg-type]
    both = {**PLAIN, "init": "x", "file": SimpleUploadedFile("a.zip", b"no")}
    assert "not both" in refusals(reader.post("/runs/new/", both))["init"][0]  # type: ignore[arg-type]
    assert not Run.objects.exists()


def test_a_run_that_began_with_weights_alone_says_so(reader: Client) -> None:
    parent = make_run(name="the parent", status=RunStatus.COMPLETED)
    run = make_run(
        parent=parent,
        parent_step=256,
        relation="seed",
        fidelity="weights-only",
        status=RunStatus.RUNNING,
        owner="host:1:x",
    )
    run.directory.append(events.attempt(0, 1, "weights-only"))
    html = reader.get(f"/runs/{run.pk}/").content.decode()
    assert "badge-weights-only" in html
    assert "all the rest began anew" in html
    assert "Seed of" in html
    assert "at step 256" in html
    assert run.ancestors() == [], "its curves are its own"
    assert reader.get(f"/api/v1/runs/{run.pk}").json()["fidelity"] == "weights-only"
