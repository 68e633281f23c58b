"""Downloads over REST."""

from collections.abc import Callable

import pytest

from apps.experiments.models import Run
from tests.api.clients import ApiClient, assert_problem
from tests.damaged_checkpoints import DAMAGE, FILES, run_with_checkpoint


def test_a_checkpoint_tells_its_files_and_each_is_served(api: ApiClient) -> None:
    run = run_with_checkpoint()
    told = api.get(f"/runs/{run.pk}/checkpoints/best").json()
    assert (told["run"], told["step"]) == (run.pk, 256)
    names = [file["name"] for file in told["files"]]
    assert names == ["model.zip", "normalization.npz", "load.py", "spec.json"]
    assert 'PPO.load(HERE / "model.zip"' in told["script"]
    for file in told["files"]:
        answer = api.get(file["url"].removeprefix("/api/v1"))
        content = b"".join(answer.streaming_content) if answer.streaming else answer.content
        assert len(content) == file["size_bytes"]
        assert answer["Content-Disposition"] == f'attachment; filename="{file["name"]}"'
        assert answer["X-Content-Type-Options"] == "nosniff"
        head = api.head(file["url"].removeprefix("/api/v1"))
        assert (head.status_code, head.content) == (200, b"")
        assert head["Content-Length"] == str(file["size_bytes"])


@pytest.mark.parametrize("name", ["state.pkl", "manifest.json", "..", "metrics.jsonl", "%00"])
def test_nothing_else_is_served(api: ApiClient, name: str) -> None:
    run = run_with_checkpoint()
    answer = api.get(f"/runs/{run.pk}/checkpoints/256/{name}")
    assert answer.status_code == 404
    assert FILES["state.pkl"] not in answer.content


@pytest.mark.parametrize("at", ["512", "first", "1e3", "0x100", "٣"])
def test_a_checkpoint_that_is_not_there_is_refused(api: ApiClient, at: str) -> None:
    run = run_with_checkpoint()
    told = assert_problem(api.get(f"/runs/{run.pk}/checkpoints/{at}"), 409)
    assert "it has checkpoints at 256" in told["detail"]
    assert_problem(api.get(f"/runs/{run.pk}/checkpoints/{at}/model.zip"), 409)
    assert_problem(api.get("/runs/nobody/checkpoints/256/model.zip"), 404)


@pytest.mark.timeout(20)
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_file_that_is_not_the_recorded_one_is_refused(
    api: ApiClient, damage: Callable[[Run], None]
) -> None:
    run = run_with_checkpoint()
    damage(run)
    answer = api.get(f"/runs/{run.pk}/checkpoints/last/model.zip")
    assert answer.status_code in {404, 409}
    assert_problem(answer, answer.status_code)
