"""The buttons of a run."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.experiments.models import Checkpoint, Run
from apps.experiments.statuses import RunStatus
from tests.builders import make_run
from tests.dashboard.reading import press


@pytest.mark.parametrize("button", ["start", "stop", "evaluate", "delete", "restore"])
def test_buttons_do_not_answer_links(reader: Client, finished: Run, button: str) -> None:
    assert reader.get(reverse(f"run-{button}", args=[finished.pk])).status_code == 405


@pytest.mark.parametrize("button", ["start", "stop", "evaluate", "delete", "restore"])
def test_buttons_need_the_page_they_stand_on(admin: User, finished: Run, button: str) -> None:
    stranger = Client(enforce_csrf_checks=True)
    stranger.force_login(admin)
    assert stranger.post(reverse(f"run-{button}", args=[finished.pk])).status_code == 403


def test_a_draft_is_started(reader: Client) -> None:
    run = make_run()
    press(reader, "start", run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.QUEUED


def test_a_queued_run_is_stopped(reader: Client) -> None:
    run = make_run(status=RunStatus.QUEUED)
    press(reader, "stop", run.pk)
    run.refresh_from_db()
    assert run.status == RunStatus.STOPPED


def test_an_illegal_move_is_told(reader: Client, finished: Run) -> None:
    response = press(reader, "stop", finished.pk)
    assert b"A run that is completed cannot become stopped" in response.content


def test_an_evaluation_is_queued_as_asked(reader: Client, finished: Run) -> None:
    fields = {"at": "best", "n_episodes": "3", "seed": "11", "is_stochastic": "on"}
    press(reader, "evaluate", finished.pk, **fields)
    evaluation = finished.evaluations.first()
    assert evaluation is not None
    assert (evaluation.n_episodes, evaluation.seed) == (3, 11)
    assert not evaluation.is_deterministic
    assert not evaluation.should_film
    assert evaluation.status == "queued"


@pytest.mark.parametrize(
    "fields",
    [
        {"at": "last", "n_episodes": "0"},
        {"at": "last", "n_episodes": "many"},
        {"at": "999"},
        {"at": ""},
        {},
    ],
)
def test_a_refused_evaluation_is_told(
    reader: Client, finished: Run, fields: dict[str, str]
) -> None:
    response = press(reader, "evaluate", finished.pk, **fields)
    assert b'<li class="error">' in response.content
    assert finished.evaluations.count() == 1


def test_an_evaluation_without_a_checkpoint_is_refused(reader: Client) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    response = press(reader, "evaluate", run.pk, at="last")
    assert b"no checkpoint yet" in response.content


def test_a_deleted_run_can_be_brought_back_from_the_message(reader: Client, finished: Run) -> None:
    response = press(reader, "delete", finished.pk)
    assert not Run.objects.exists()
    assert not finished.directory.path.exists()
    restore = reverse("run-restore", args=[finished.pk])
    assert f'action="{restore}"'.encode() in response.content
    assert b"Undo" in response.content
    press(reader, "restore", finished.pk)
    assert Run.objects.get().name == "finished"
    assert finished.directory.path.exists()


def test_an_active_run_is_not_deleted(reader: Client) -> None:
    run = make_run(status=RunStatus.QUEUED)
    response = press(reader, "delete", run.pk)
    assert b"stop it or wait, then delete" in response.content
    assert Run.objects.exists()


@pytest.mark.parametrize("run_id", ["nosuchrun", "..", "a.b"])
def test_what_is_not_in_the_trash_is_not_restored(reader: Client, run_id: str) -> None:
    response = press(reader, "restore", run_id)
    assert b"in the trash" in response.content


@pytest.mark.parametrize("button", ["start", "stop", "evaluate", "delete"])
def test_buttons_of_an_unknown_run_are_not_found(reader: Client, button: str) -> None:
    assert press(reader, button, "nosuchrun").status_code == 404


def test_the_best_checkpoint_can_be_chosen_by_step(reader: Client, finished: Run) -> None:
    Checkpoint.objects.create(run=finished, step=128)
    press(reader, "evaluate", finished.pk, at="128")
    assert finished.evaluations.filter(step=128).exists()
