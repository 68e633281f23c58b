"""The admin changes runs by the same verbs as every other face."""

import re

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from apps.accounts.models import ApiToken
from apps.experiments.models import Checkpoint, Experiment, Run
from apps.experiments.statuses import RunStatus
from tests.builders import give_checkpoint, make_run

RUNS = "/admin/experiments/run/"


def act(reader: Client, action: str, *runs: Run) -> HttpResponse:
    """Choose an action for some runs."""
    fields = {"action": action, "_selected_action": [run.pk for run in runs]}
    return reader.post(RUNS, fields, follow=True)  # type: ignore[return-value]


def test_actions_start_drafts_and_tell_what_was_refused(reader: Client, finished: Run) -> None:
    draft = make_run()
    response = act(reader, "start", draft, finished)
    draft.refresh_from_db()
    assert draft.status == RunStatus.QUEUED
    assert b"Queued: tiny." in response.content
    assert b"finished: a run that is completed cannot become queued" in response.content


def test_the_list_of_runs_reads_no_spec_and_counts_once(
    reader: Client, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(60):
        make_run()
    with django_assert_max_num_queries(7) as queries:
        assert reader.get(RUNS, {"q": "tiny"}).content.count(b'name="_selected_action"') == 50
    statements = [query["sql"] for query in queries.captured_queries]
    assert not any('"spec"' in sql for sql in statements)
    assert sum("COUNT(" in sql for sql in statements) == 1


def test_actions_stop_and_evaluate(reader: Client, finished: Run) -> None:
    queued = make_run(status=RunStatus.QUEUED)
    act(reader, "stop", queued)
    queued.refresh_from_db()
    assert queued.status == RunStatus.STOPPED
    act(reader, "evaluate", finished)
    assert finished.evaluations.filter(status="queued").count() == 1


def test_actions_pause_and_resume(reader: Client, finished: Run) -> None:
    running = make_run(status=RunStatus.RUNNING, owner="host:1:x", attempt=1)
    response = act(reader, "pause", running, finished)
    running.refresh_from_db()
    assert running.stop_as == RunStatus.PAUSED
    assert b"finished: a run that is completed cannot become paused" in response.content
    paused = make_run(status=RunStatus.PAUSED, name="waiting")
    give_checkpoint(paused, 64)
    response = act(reader, "resume", paused, running)
    paused.refresh_from_db()
    assert paused.status == RunStatus.QUEUED
    assert b"Queued to go on: waiting." in response.content
    assert b"tiny: a run that is running cannot become queued" in response.content


def test_deleting_moves_to_the_trash_and_can_be_undone(reader: Client, finished: Run) -> None:
    path = f"{RUNS}{finished.pk}/delete/"
    assert b"Are you sure" in reader.get(path).content
    response = reader.post(path, {"post": "yes"}, follow=True)
    assert not Run.objects.exists()
    assert not finished.directory.path.exists()
    assert f"/runs/{finished.pk}/restore/".encode() in response.content


def test_deleting_many_keeps_what_is_active(reader: Client, finished: Run) -> None:
    active = make_run(status=RunStatus.QUEUED)
    response = act(reader, "move_to_trash", finished, active)
    assert [run.pk for run in Run.objects.all()] == [active.pk]
    assert b"stop it or wait, then delete" in response.content


def test_an_active_run_offers_no_deletion(reader: Client) -> None:
    active = make_run(status=RunStatus.QUEUED)
    assert reader.get(f"{RUNS}{active.pk}/delete/").status_code == 403


def test_runs_are_not_added_by_a_raw_form(reader: Client) -> None:
    assert reader.get(f"{RUNS}add/").status_code == 403


def test_a_run_has_no_field_to_write_in(reader: Client, finished: Run) -> None:
    html = reader.get(f"{RUNS}{finished.pk}/change/").content.decode()
    content = html[html.index('id="content"') :]
    assert not re.findall(r'<(?:input|select|textarea)[^>]* name="(?!csrf|_)', content)
    assert finished.get_absolute_url() in html


def test_what_indexes_files_is_only_looked_at(reader: Client, finished: Run) -> None:
    checkpoint = Checkpoint.objects.get()
    path = f"/admin/experiments/checkpoint/{checkpoint.pk}/"
    assert reader.get(f"{path}change/").status_code == 200
    assert reader.post(f"{path}change/", {}).status_code == 403
    assert reader.get(f"{path}delete/").status_code == 403


def test_an_experiment_keeps_its_name(reader: Client, finished: Run) -> None:
    experiment = Experiment.objects.get()
    path = f"/admin/experiments/experiment/{experiment.pk}/change/"
    reader.post(path, {"name": "other", "hypothesis": "It learns."})
    experiment.refresh_from_db()
    assert (experiment.name, experiment.hypothesis) == ("Tests", "It learns.")


def test_a_token_shows_its_secret_once(reader: Client) -> None:
    path = "/admin/accounts/apitoken/"
    user = reader.get(f"{path}add/").wsgi_request.user
    response = reader.post(f"{path}add/", {"user": user.pk, "name": "script"}, follow=True)
    secret = re.search(r"rlgym_[\w-]+", response.content.decode())
    assert secret
    assert ApiToken.objects.user_of(secret[0]) == user
    assert ApiToken.objects.count() == 1
    assert b"rlgym_" not in reader.get(path).content


@pytest.mark.parametrize("name", ["change", "add"])
def test_no_page_of_a_token_shows_its_hash(reader: Client, name: str) -> None:
    path = "/admin/accounts/apitoken/"
    reader.post(f"{path}add/", {"user": reader.get(path).wsgi_request.user.pk, "name": "x"})
    token = ApiToken.objects.get()
    place = f"{token.pk}/change/" if name == "change" else "add/"
    assert token.secret_hash not in reader.get(path + place).content.decode()
