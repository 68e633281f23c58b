"""One rule for names at every door, and what was stored before it shown escaped."""

import json
import logging
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils.module_loading import import_string
from stable_baselines3 import PPO

from apps.accounts.models import ApiToken
from apps.errors import InvalidSpec
from apps.experiments.models import Experiment, Run
from apps.experiments.statuses import RunStatus
from apps.jobs.verbs import batches, checking, life, lineage, logged, records, reindex, weights
from apps.jobs.verbs.naming import Naming, free_name
from apps.rundir.files import read_json, write_json
from apps.spec.logged import LoggedSpec
from apps.text.names import LineFormatter
from rlgym.settings import LOGGING
from tests.builders import TINY_PPO, make_run, with_checkpoint

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("home")]

REFUSED = {
    "x" * 300: "it has 300 characters, at most 120 are",
    "red\x1b[31m": "character 4 is U+001B, a control character",
    "two\nlines": "character 4 is U+000A, a line break",
    "gpj.\u202eexe": "character 5 is U+202E, a direction mark",
    "nul\0": "character 4 is U+0000, a control character",
}
RESERVED = {
    "latest": "it stands for the run that was made last",
    "k3v9mpt2xa": "it looks like the id of a run",
}
EVIL = "evil\x1b[2J\n2026-11-30 INFO forged\u202e"
SHOWN_ERROR = "evil\\x1b[2J\n2026-11-30 INFO forged\\u202e"  # Of a traceback: line by line.
SHOWN = r"evil\x1b[2J\n2026-11-30 INFO forged\u202e"


@pytest.fixture
def api(admin_user: User) -> Client:
    token = ApiToken.objects.issue(admin_user, "tests")
    return Client(headers={"Authorization": f"Bearer {token}"})


def send(api: Client, path: str, body: Any, method: str = "post") -> list[dict[str, str]]:
    """Send JSON that is refused and return the refused fields."""
    call = getattr(api, method)
    answer = call(f"/api/v1{path}", json.dumps(body), content_type="application/json")
    assert answer.status_code == 422, answer.content
    errors: list[dict[str, str]] = answer.json()["errors"]
    return errors


@pytest.mark.parametrize(("name", "said"), {**REFUSED, **RESERVED}.items())
def test_a_run_s_name_is_refused_in_the_same_words_at_every_door(
    api: Client, admin_client: Client, tmp_path: Path, name: str, said: str
) -> None:
    parent = with_checkpoint(RunStatus.COMPLETED)
    told = []
    for path, body, method in (
        ("/runs", {**TINY_PPO, "name": name}, "post"),
        ("/runs", {**TINY_PPO, "name": name, "seeds": 2}, "post"),
        ("/runs/logged", {"name": name}, "post"),
        (f"/runs/{parent.pk}", {"name": name}, "patch"),
        (f"/runs/{parent.pk}/branch", {"name": name, "changes": {}}, "post"),
    ):
        (error,) = send(api, path, body, method)
        assert error["field"] == "name"
        told.append(error["message"])
    plain = {"algorithm": "ppo", "environment": "CartPole-v1", "length": "quick", "name": name}
    branch = {"at": "last", "total_timesteps": "999", "name": name}
    for path, fields in (("/runs/new/", plain), (f"/runs/{parent.pk}/branch/", branch)):
        page = admin_client.post(path, fields)
        assert page.status_code == 422
        told += page.context["form"].errors["name"]
    with pytest.raises(CommandError) as refused:
        call_command("train", "--queue", "-n", "300", "--name", name)
    told.append(str(refused.value).removeprefix("name: "))
    batch = json.dumps({"runs": [{"total_timesteps": 300, "name": name}]})
    (line,) = batches.plan(batch)
    told += [error.message for error in line.errors]
    assert len(told) == 9
    assert {*told} == {told[0]}
    assert said in told[0]
    assert Run.objects.count() == 1
    assert len(list(parent.directory.path.parent.iterdir())) == 1


@pytest.mark.parametrize(("name", "said"), REFUSED.items())
def test_an_experiment_s_name_is_refused_in_the_same_words_at_every_door(
    api: Client, admin_client: Client, name: str, said: str
) -> None:
    told = [
        send(api, "/runs", {**TINY_PPO, "experiment": name})[0]["message"],
        send(api, "/runs/logged", {"experiment": name})[0]["message"],
        send(api, "/experiments", {"name": name})[0]["message"],
    ]
    page = admin_client.post("/admin/experiments/experiment/add/", {"name": name})
    told += page.context["adminform"].form.errors["name"]
    (line,) = batches.plan(json.dumps({"runs": [{"total_timesteps": 300, "experiment": name}]}))
    told += [error.message for error in line.errors]
    assert len(told) == 5
    assert {*told} == {told[0]}
    assert said in told[0]
    assert not Experiment.objects.exists()


@pytest.mark.parametrize("name", ["x" * 81, "red\x1b[31m", "  "])
def test_a_token_s_name_is_refused(admin_client: Client, admin_user: User, name: str) -> None:
    with pytest.raises(InvalidSpec):
        ApiToken.objects.issue(admin_user, name)
    fields = {"name": name, "user": admin_user.pk}
    page = admin_client.post("/admin/accounts/apitoken/add/", fields)
    assert page.context["adminform"].form.errors["name"]
    assert not ApiToken.objects.exists()


def test_a_token_and_an_experiment_of_the_admin_have_their_spaces_stripped(
    admin_client: Client, admin_user: User
) -> None:
    admin_client.post("/admin/accounts/apitoken/add/", {"name": " mine ", "user": admin_user.pk})
    admin_client.post("/admin/experiments/experiment/add/", {"name": " Question "})
    assert ApiToken.objects.get().name == "mine"
    assert Experiment.objects.get().name == "Question"


@pytest.mark.parametrize("name", ["x" * 200 + ".zip", "red\x1b[31m.zip"])
def test_a_file_s_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InvalidSpec, match=r"file: .* is not allowed") as refused:
        weights.from_file(starting_file(tmp_path), name)
    assert "\x1b" not in str(refused.value)


def test_a_long_name_of_an_upload_is_refused_over_rest(api: Client, tmp_path: Path) -> None:
    upload = SimpleUploadedFile("x" * 200 + ".zip", starting_file(tmp_path).read_bytes())
    answer = api.post("/api/v1/runs/import", {"spec": json.dumps(TINY_PPO), "file": upload})
    assert answer.status_code == 422
    assert "at most 120 are" in answer.json()["detail"]


def starting_file(folder: Path) -> Path:
    """Return a model file that the library saved."""
    path = folder / "model.zip"
    PPO("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [7]}).save(path)
    return path


def test_a_name_that_would_hide_another_run_s_id_is_refused() -> None:
    run = make_run(name="first")
    for name in (run.pk[:3], run.pk[:9]):
        for give in (
            lambda name=name: life.create(checking.check_spec(TINY_PPO), Naming(name)),
            lambda name=name: logged.begin(LoggedSpec(), Naming(name)),
            lambda name=name: records.rename(run, name),
        ):
            with pytest.raises(InvalidSpec, match=f"the id of run {run.pk} begins with it"):
                give()
    assert Run.objects.get() == run


def test_names_that_are_made_are_never_refused() -> None:
    assert free_name("latest") == "run-latest"
    run, _ = logged.begin(LoggedSpec(algorithm="latest"))
    assert run.name == "run-latest"
    run, _ = logged.begin(LoggedSpec(algorithm="k3v9mpt2xa"))
    assert run.name == "run-k3v9mpt2xa"
    made, _ = logged.begin(LoggedSpec(algorithm=run.pk[:4]))
    assert made.name == f"run-{run.pk[:4]}"
    assert Run.objects.resolve(run.pk[:4]) == run


def test_spaces_around_a_name_are_stripped_everywhere() -> None:
    run = life.create(checking.check_spec(TINY_PPO), Naming("  mine ", " ours\u00a0 "))
    assert (run.name, run.experiment.name) == ("mine", "ours")
    assert read_json(run.directory.record)["name"] == "mine"
    assert records.rename(run, " other ").name == "other"


def stored() -> Run:
    """Return a run whose names were stored before there was a rule."""
    run = with_checkpoint(RunStatus.FAILED)
    Experiment.objects.filter(pk=run.experiment_id).update(name=EVIL)
    fields = {"name": EVIL, "status_reason": EVIL, "error": f"Traceback\n  {EVIL}"}
    Run.objects.filter(pk=run.pk).update(**fields)
    run.refresh_from_db()
    return Run.objects.select_related("experiment").get(pk=run.pk)


def forged(text: str) -> bool:
    return "\x1b" in text or "\u202e" in text or "\n2026-11-30" in text


COMMANDS: list[Callable[[Run], tuple[str, ...]]] = [
    lambda run: ("run", run.pk),
    lambda run: ("runs",),
    lambda run: ("retry", run.pk),
    lambda run: ("resume", run.pk),
    lambda run: ("continue", run.pk, "-n", "10"),
    lambda run: ("branch", run.pk, "-n", "999"),
]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_stored_is_shown_escaped_by_commands(
    command: Callable[[Run], tuple[str, ...]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    run = stored()
    out, shown_json = StringIO(), StringIO()
    call_command(*command(run), stdout=out)
    text = out.getvalue() + capsys.readouterr().out
    assert SHOWN[:8] in text
    # The traceback of a run keeps its lines.
    assert not forged(text.replace(SHOWN_ERROR, ""))
    call_command("runs", "--json", stdout=shown_json)
    assert not forged(shown_json.getvalue())
    assert json.loads(shown_json.getvalue())[-1]["name"] == EVIL


def test_refusals_show_stored_names_escaped() -> None:
    run = stored()
    make_run(name=EVIL, experiment=run.experiment)
    with pytest.raises(CommandError) as refused:
        call_command("run", EVIL)
    assert SHOWN in str(refused.value)
    assert not forged(str(refused.value))


def test_a_log_line_of_the_product_shows_a_stored_name_escaped() -> None:
    line = LOGGING["formatters"]["line"]
    formatter = import_string(line["()"])(line["format"], style=line["style"])
    assert isinstance(formatter, LineFormatter)
    record = logging.LogRecord("x", logging.INFO, "", 0, "run (%s) ends", (stored().name,), None)
    assert formatter.format(record).endswith(f"INFO    x: run ({SHOWN}) ends")


def test_a_child_of_a_run_that_was_stored_before_has_a_name_that_is_allowed() -> None:
    child = lineage.retry(stored())
    assert child.name == f"{SHOWN}-retry"
    assert child.experiment.name == SHOWN


def test_reindex_refuses_no_name_and_shows_it_escaped() -> None:
    run = make_run()
    record = {**read_json(run.directory.record), "name": EVIL, "experiment": "e" * 300 + "\0"}
    write_json(run.directory.record, record)
    report = reindex.reindex()
    assert report.refused == {}
    run = Run.objects.select_related("experiment").get(pk=run.pk)
    assert run.name == SHOWN
    assert run.experiment.name == "e" * 120
    assert read_json(run.directory.record)["name"] == EVIL, "the directory stays as it is"


def test_reasons_are_one_line_however_they_come() -> None:
    run, _ = logged.begin(LoggedSpec(), Naming("outside"))
    assert (
        logged.finish(run, "failed", EVIL + "x" * 600).status_reason == (SHOWN + "x" * 600)[:500]
    )
    queued = make_run(status=RunStatus.QUEUED)
    assert life.stop(queued, EVIL).status_reason == SHOWN
