"""A checkpoint's page: what can be downloaded of it."""

from django.test import Client

from apps.experiments.models import Run
from tests.damaged_checkpoints import run_with_checkpoint, tamper_and_mend_the_manifest


def test_it_links_each_file_and_shows_the_script(reader: Client) -> None:
    run = run_with_checkpoint()
    listed = reader.get(run.get_absolute_url()).content.decode()
    assert f"/runs/{run.pk}/checkpoints/256/" in listed
    html = reader.get(f"/runs/{run.pk}/checkpoints/best/").content.decode()
    for name in ("model.zip", "normalization.npz", "load.py", "spec.json"):
        assert f'href="/api/v1/runs/{run.pk}/checkpoints/256/{name}" download' in html
    assert "PPO.load(HERE / &quot;model.zip&quot;" in html
    assert f"manage.py download {run.pk}@256" in html


def _refusal(reader: Client, run: Run, at: str) -> str:
    return reader.get(f"/runs/{run.pk}/checkpoints/{at}/", follow=True).content.decode()


def test_what_is_not_handed_out_is_said_on_the_page_of_the_run(reader: Client) -> None:
    run = run_with_checkpoint()
    assert "has no checkpoint &#x27;512&#x27;" in _refusal(reader, run, "512")
    tamper_and_mend_the_manifest(run)
    assert "manifest is not the one that was recorded" in _refusal(reader, run, "last")
    assert reader.get("/runs/nobody/checkpoints/last/").status_code == 404
