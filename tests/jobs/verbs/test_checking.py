"""What may be named by whom: attacks by page and request, and the terminal, which may do more."""

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from pytest_django import Settings

from apps.accounts.models import ApiToken
from apps.errors import InvalidSpec
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs.verbs import checking, weights
from apps.jobs.verbs.checking import Asker
from apps.jobs.verbs.preflight import preflight
from tests.builders import TINY_PPO, with_checkpoint

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]

MONITOR = "stable_baselines3.common.monitor:Monitor"
OUTSIDE = [
    {"environment": "elsewhere:Walk-v0"},
    {"environment": "elsewhere:CartPole-v1"},
    {"environment": "antigravity:Foo-v0"},
    {"environment": "GymV26Environment-v0", "environment_kwargs": {"env_id": "elsewhere:Foo"}},
    {"environment": "Ant-v5", "environment_kwargs": {"xml_file": "/etc/passwd"}},
    {"environment": "Ant-v5", "environment_kwargs": {"xml_file": "/no/such/file"}},
    {"environment_kwargs": {"deep": [{"er": "~/.ssh/id_rsa"}]}},
    {"wrappers": ["elsewhere:Wrapper"]},
    {"wrappers": [{"path": MONITOR, "kwargs": {"filename": "/tmp/overwritten"}}]},
    {"wrappers": [{"path": "gymnasium.wrappers:RecordVideo", "kwargs": {"video_folder": "v"}}]},
]
ELSEWHERE = """
from pathlib import Path
Path({marker!r}).touch()
import gymnasium
from tests.worlds.misbehaving import Behaving
class Walk(Behaving): pass
class Wrapper(gymnasium.Wrapper): pass
gymnasium.register("Walk-v0", Walk, max_episode_steps=50)
"""


@pytest.fixture
def marker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that a module on the path of every process leaves when it is imported."""
    marker = tmp_path / "was-imported"
    folder = tmp_path / "path"
    folder.mkdir()
    (folder / "elsewhere.py").write_text(ELSEWHERE.format(marker=str(marker)))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    monkeypatch.syspath_prepend(str(folder))
    return marker


@pytest.fixture
def api(admin_user: Any) -> Client:
    token = ApiToken.objects.issue(admin_user, "tests")
    return Client(headers={"Authorization": f"Bearer {token}"})


def post(api: Client, path: str, body: Any) -> Any:
    return api.post(f"/api/v1/runs{path}", json.dumps(body), content_type="application/json")


@pytest.mark.parametrize("fields", OUTSIDE)
def test_requests_that_make_or_check_a_run_import_and_open_nothing(
    api: Client, marker: Path, fields: dict[str, Any]
) -> None:
    parent = with_checkpoint(RunStatus.COMPLETED)
    for path, body in (
        ("", {**TINY_PPO, **fields}),
        ("/preflight", {**TINY_PPO, **fields}),
        (f"/{parent.pk}/branch", {"changes": {"total_timesteps": 999, **fields}}),
    ):
        answer = post(api, path, body)
        assert answer.status_code == 422, answer.content
        assert {error["field"] for error in answer.json()["errors"]} <= {
            "environment",
            "environment_kwargs",
            "wrappers.0",
        }
    assert not marker.exists()
    assert Run.objects.count() == 1


@pytest.mark.parametrize("environment", ["elsewhere:Walk-v0", "antigravity:Foo-v0"])
def test_the_form_and_its_check_and_a_branch_refuse_beside_the_field(
    admin_client: Client, marker: Path, environment: str
) -> None:
    form = {"algorithm": "ppo", "environment": environment, "preset": "fast", "length": "quick"}
    parent = with_checkpoint(RunStatus.COMPLETED)
    branch = {"at": "last", "total_timesteps": "999", "environment": environment}
    for path, fields in (
        ("/runs/new/", form),
        ("/runs/new/", {**form, "check": "1"}),
        (f"/runs/{parent.pk}/branch/", branch),
    ):
        page = admin_client.post(path, fields)
        assert page.status_code == 422
        assert "RLGYM_TRUSTED_MODULES" in page.context["form"].errors["environment"][0]
    assert not marker.exists()
    assert Run.objects.count() == 1


@pytest.mark.parametrize("environment", ["elsewhere:Walk-v0", "antigravity:Foo-v0", "os:abort"])
def test_no_page_of_an_environment_imports_what_its_address_names(
    api: Client, admin_client: Client, marker: Path, environment: str
) -> None:
    assert api.get(f"/api/v1/environments/{environment}").status_code == 404
    assert admin_client.get(f"/environments/{environment}/").status_code == 404
    assert api.get("/api/v1/presets", {"environment": environment}).status_code == 200
    assert not marker.exists()


@pytest.mark.slow
def test_the_terminal_names_whatever_it_imports(marker: Path, tmp_path: Path) -> None:
    wrapper = {"path": MONITOR, "kwargs": {"filename": str(tmp_path / "log")}}
    data = {**TINY_PPO, "environment": "elsewhere:Walk-v0", "wrappers": [wrapper]}
    with pytest.raises(InvalidSpec):
        weights.check_spec(data, None)
    assert weights.check_spec(data, None, Asker.TERMINAL).wrappers == [wrapper]
    assert marker.exists()
    call_command("train", "--queue", "--env", "elsewhere:Walk-v0", "-n", "300")
    assert Run.objects.get().environment == "elsewhere:Walk-v0"
    batch = tmp_path / "batch.yaml"
    batch.write_text("runs:\n  - environment: elsewhere:Walk-v0\n    total_timesteps: 300\n")
    call_command("train_batch", str(batch), "--dry-run")
    with pytest.raises(InvalidSpec):
        preflight(data)


@pytest.mark.slow
@pytest.mark.parametrize("named_by", ["RLGYM_ENVIRONMENTS", "RLGYM_TRUSTED_MODULES"])
def test_a_setting_registers_a_module_for_requests(
    api: Client, marker: Path, settings: Settings, named_by: str
) -> None:
    setattr(settings, named_by.removeprefix("RLGYM_"), ("elsewhere",))
    body = {**TINY_PPO, "environment": "elsewhere:Walk-v0", "wrappers": ["elsewhere:Wrapper"]}
    assert post(api, "", body).status_code == 201
    assert marker.exists()


@pytest.mark.slow
def test_a_module_in_the_folder_is_registered_but_not_what_it_imports(
    api: Client, settings: Settings
) -> None:
    settings.ENVIRONMENTS_FOLDER.mkdir()
    (settings.ENVIRONMENTS_FOLDER / "own_lab.py").write_text(
        "import gymnasium\nfrom gymnasium.wrappers import RecordVideo\n"
        "class Same(gymnasium.Wrapper): pass\n"
    )
    assert post(api, "", {**TINY_PPO, "wrappers": ["own_lab:Same"]}).status_code == 201
    inside = str(settings.HOME / "media")
    wrapper = {"path": "own_lab:RecordVideo", "kwargs": {"video_folder": inside}}
    answer = post(api, "", {**TINY_PPO, "wrappers": [wrapper]})
    assert answer.status_code == 422
    assert "of another package" in answer.json()["detail"]


def test_what_the_terminal_began_may_be_gone_on_with_from_a_page(api: Client) -> None:
    parent = with_checkpoint(RunStatus.COMPLETED)
    parent.spec["environment_kwargs"] = {"sutton_barto_reward": True}
    parent.spec["wrappers"] = [{"path": MONITOR, "kwargs": {"filename": "/tmp/theirs"}}]
    parent.save(update_fields=["spec"])
    other = [{"path": MONITOR, "kwargs": {"filename": "/tmp/mine"}}]
    answer = post(api, f"/{parent.pk}/branch", {"changes": {"wrappers": other}})
    assert answer.status_code == 422
    assert post(api, f"/{parent.pk}/retry", {}).status_code == 201
    assert checking.check_spec(parent.spec, inherited=parent.spec).wrappers[0]["path"] == MONITOR
