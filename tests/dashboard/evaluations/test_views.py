"""The page of evaluations: what waits and why, what ended, and the button that cancels."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.statuses import JobStatus, RunStatus
from apps.spec.evaluation import EvalSpec
from tests.builders import make_run


@pytest.fixture
def run(reader: Client) -> Run:
    return make_run(status=RunStatus.COMPLETED, name="asked")


def evaluated(run: Run, **fields: object) -> Evaluation:
    episode = {
        "seed": 7,
        "episode_return": None,
        "special": {"episode_return": "inf"},
        "length": 9,
    }
    return Evaluation.objects.create(
        run=run,
        step=256,
        seed=7,
        status=JobStatus.COMPLETED,
        name="eval_1",
        n_episodes=5,
        result={"episodes": [episode]},
        **{"return_mean": 1.7e308, "return_std": 1e-8, **fields},
    )


def text(reader: Client, url: str) -> str:
    return reader.get(url).content.decode()


def test_what_waits_is_listed_with_its_place_and_a_button(reader: Client, run: Run) -> None:
    assert "No evaluation and no film waits" in text(reader, reverse("evaluation-list"))
    Evaluation.objects.ask(run, 1, EvalSpec())
    evaluation = Evaluation.objects.ask(run, 2, EvalSpec())
    Video.objects.owe(evaluated(run))
    page = text(reader, reverse("evaluation-list"))
    assert "no worker is alive" in page
    assert "1 before it" in page
    assert "<strong>Film</strong>" in page
    assert reverse("evaluation-cancel", args=[evaluation.pk]) in page
    assert text(reader, reverse("evaluation-queue")) in page or "play-queue" in page
    assert "3 pending" in text(reader, reverse("dashboard-machine"))


def test_the_button_cancels_and_goes_back_to_where_it_was(reader: Client, run: Run) -> None:
    evaluation = Evaluation.objects.ask(run, 1, EvalSpec())
    url = reverse("evaluation-cancel", args=[evaluation.pk])
    assert reader.get(url).status_code == 405
    page = text(reader, run.get_absolute_url())
    assert f'name="next" value="{run.get_absolute_url()}"' in page
    answer = reader.post(url, {"next": run.get_absolute_url()}, follow=True)
    assert answer.redirect_chain == [(run.get_absolute_url(), 302)]
    assert "Cancelled: the evaluation of asked at step 1." in answer.content.decode()
    again = reader.post(url, {"next": "https://elsewhere.example/"}, follow=True)
    assert again.redirect_chain == [(reverse("evaluation-list"), 302)]
    assert "only what waits or is worked on" in again.content.decode()
    assert reader.post(reverse("evaluation-cancel", args=[10**9])).status_code == 404


def test_a_stranger_cancels_nothing(run: Run) -> None:
    evaluation = Evaluation.objects.ask(run, 1, EvalSpec())
    answer = Client().post(reverse("evaluation-cancel", args=[evaluation.pk]))
    assert (answer.status_code, "login" in answer["Location"]) == (302, True)
    evaluation.refresh_from_db()
    assert evaluation.status == JobStatus.QUEUED


def test_a_run_shows_its_figures_while_its_film_waits(reader: Client, run: Run) -> None:
    Video.objects.owe(evaluated(run, n_played=2, interrupted="it was ended after 5 s"))
    page = text(reader, reverse("run-evaluations", args=[run.pk]))
    assert "1.7e308" in page
    assert "± 1e-8" in page
    assert '<td class="num">inf</td>' in page
    assert "its film waits: no worker is alive" in page
    assert "It was interrupted: it was ended after 5 s." in page
    assert "data-live" in text(reader, reverse("run-header", args=[run.pk]))


def test_a_figure_that_is_not_finite_is_called_by_its_name(reader: Client, run: Run) -> None:
    evaluated(run, return_mean=None, special={"return_mean": "-inf"})
    for url in (reverse("run-evaluations", args=[run.pk]), reverse("evaluation-list")):
        assert "-inf" in text(reader, url)


def test_why_there_is_no_film_is_said_with_its_traceback(reader: Client, run: Run) -> None:
    evaluation = evaluated(run)
    error = "Traceback …\n  in render\nRuntimeError: no display\n"
    Video.objects.create(run=run, evaluation=evaluation, step=1, status="failed", error=error)
    page = text(reader, reverse("run-evaluations", args=[run.pk]))
    assert "No film: RuntimeError: no display" in page
    assert "in render" in page
    assert "No film yet" in text(reader, reverse("run-video", args=[run.pk]) + "?known=1")
    assert "RuntimeError" not in text(reader, reverse("video-list"))


def test_what_a_film_leaves_out_is_said_below_it(reader: Client, finished: Run) -> None:
    finished.videos.update(cut="1 of 5 episodes")
    assert "Cut: 1 of 5 episodes." in text(reader, finished.get_absolute_url())


@pytest.mark.parametrize("model", ["evaluation", "video"])
def test_the_admin_cancels_what_waits_and_says_what_it_could_not(
    reader: Client, run: Run, model: str
) -> None:
    evaluation = evaluated(run)
    video = Video.objects.owe(evaluation)
    waiting = Evaluation.objects.ask(run, 2, EvalSpec())
    url = reverse(f"admin:experiments_{model}_changelist")
    keys = [waiting.pk] if model == "evaluation" else [video.pk]
    form = {"action": "cancel", "_selected_action": keys}
    assert "Cancelled: 1." in reader.post(url, form, follow=True).content.decode()
    assert "can be cancelled" in reader.post(url, form, follow=True).content.decode()
    job = waiting if model == "evaluation" else video
    job.refresh_from_db()
    assert job.status == JobStatus.CANCELLED


def test_the_admin_offers_cancelling_to_those_who_may_change_runs_only(
    run: Run, client: Client
) -> None:
    looker = User.objects.create_user("looker", is_staff=True)
    client.force_login(looker)
    Evaluation.objects.ask(run, 2, EvalSpec())
    assert client.get(reverse("admin:experiments_evaluation_changelist")).status_code == 403
