"""A run's page in every state, and the parts of it that are fetched again."""

from datetime import timedelta

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.experiments.models import Checkpoint, Evaluation, Run
from apps.experiments.statuses import JobStatus, RunStatus
from apps.spec.evaluation import EvalSpec
from tests.builders import make_run
from tests.dashboard.reading import page


def test_a_finished_run_shows_all_it_left(reader: Client, finished: Run) -> None:
    html = page(reader, finished)
    video = finished.videos.get()
    assert f'src="/api/v1/videos/{video.pk}/file"' in html
    assert f'poster="/api/v1/videos/{video.pk}/poster"' in html
    assert "9.25" in html
    assert "100 %" in html
    assert "step 256 of 256 &lt;done&gt;" in html
    assert "data-live" not in html
    assert "Delete this run" in html
    assert "Stop this run" not in html


def test_charts_are_figures_that_name_their_keys(reader: Client, finished: Run) -> None:
    html = page(reader, finished)
    assert 'data-keys="rollout/ep_rew_mean,episode/return"' in html
    assert 'data-keys="train/approx_kl"' in html
    assert html.count("<figcaption>") == html.count("View as table") == 5
    assert html.count("About this metric") == html.count("<dt>unit</dt>") == 5
    assert (
        'id="chart-view" aria-label="How the charts are drawn" autocomplete="off" hidden' in html
    )


def test_settings_that_differ_from_the_default_are_marked(reader: Client, finished: Run) -> None:
    html = page(reader, finished)
    changed = {
        row.name
        for row in reader.get(finished.get_absolute_url()).context["settings"]
        if row.is_changed
    }
    assert changed == {"n_steps", "batch_size", "n_epochs", "net_arch"}
    assert html.count('class="changed"') == 4


def test_a_failed_run_shows_its_traceback(reader: Client) -> None:
    run = make_run(status=RunStatus.FAILED, error="Traceback: <boom>", status_reason="It broke.")
    html = page(reader, run)
    assert "Traceback: &lt;boom&gt;" in html
    assert "It broke." in html


def test_a_silent_run_does_not_say_that_it_runs(reader: Client) -> None:
    long_ago = timezone.now() - timedelta(hours=1)
    run = make_run(status=RunStatus.RUNNING, owner="host:1", beat_at=long_ago)
    html = page(reader, run, "run-header")
    assert "no heartbeat — its worker does not answer" in html
    assert "badge-running" not in html


def test_a_running_run_is_live_and_can_be_stopped(reader: Client) -> None:
    run = make_run(
        status=RunStatus.RUNNING,
        owner="host:1",
        beat_at=timezone.now(),
        step=64,
        steps_per_second=32.0,
        started_at=timezone.now(),
    )
    html = page(reader, run)
    assert "data-live" in html
    assert "data-follow" in html
    assert "Stop this run" in html
    assert "Delete this run" not in html
    assert "25 %" in html
    assert "6 s" in html, "192 steps at 32 a second"


def test_a_run_that_waits_for_nobody_says_so(reader: Client) -> None:
    run = make_run(status=RunStatus.QUEUED)
    assert "python manage.py worker" in page(reader, run, "run-header")


def test_a_draft_can_be_started(reader: Client) -> None:
    run = make_run()
    assert reverse("run-start", args=[run.pk]) in page(reader, run)


def test_a_run_without_a_checkpoint_cannot_be_evaluated_yet(reader: Client) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    assert "Evaluate</" not in page(reader, run, "run-actions")
    Checkpoint.objects.create(run=run, step=1)
    assert "Evaluate</" in page(reader, run, "run-actions")


def test_evaluations_tell_their_state(reader: Client) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    assert "None yet" in page(reader, run, "run-evaluations")
    evaluation = Evaluation.objects.ask(run, 1, EvalSpec())
    assert "no worker is alive" in page(reader, run, "run-evaluations")
    assert "data-live" in page(reader, run), "what is pending is watched"
    states = {
        JobStatus.RUNNING: "playing now",
        JobStatus.FAILED: "no such &lt;file&gt;",
    }
    for status, text in states.items():
        Evaluation.objects.filter(pk=evaluation.pk).update(status=status, error="no such <file>")
        assert text in page(reader, run, "run-evaluations")


def test_a_film_that_could_not_be_made_says_why(reader: Client, finished: Run) -> None:
    finished.videos.all().delete()
    finished.evaluations.update(result={"episodes": [], "film_error": "no pixels"})
    assert "No film: no pixels" in page(reader, finished, "run-evaluations")


def test_the_header_tells_the_page_what_is_out_of_date(reader: Client, finished: Run) -> None:
    url = reverse("run-header", args=[finished.pk])
    response = reader.get(url)
    assert "rlgym:phase" in response["HX-Trigger"]
    assert "rlgym:trail" in response["HX-Trigger"]
    known = {name: response.context[name] for name in ("phase", "trail")}
    assert "HX-Trigger" not in reader.get(url, known)
    Evaluation.objects.ask(finished, 256, EvalSpec())
    triggered = reader.get(url, known)["HX-Trigger"]
    assert "rlgym:trail" in triggered
    assert "rlgym:phase" not in triggered


def test_a_new_attempt_is_news_to_the_page(reader: Client) -> None:
    run = make_run(status=RunStatus.RUNNING, owner="w", attempt=2)
    url = reverse("run-header", args=[run.pk])
    known = reader.get(url).context["trail"]
    Run.objects.filter(pk=run.pk).update(fidelity="exact")
    response = reader.get(url, {"trail": known})
    assert "rlgym:trail" in response["HX-Trigger"]


def test_a_run_deleted_meanwhile_is_said_to_be_gone(reader: Client) -> None:
    response = reader.get(reverse("run-header", args=["nosuchrun"]))
    assert response.status_code == 200
    assert b"was deleted" in response.content
    assert b"hx-get" not in response.content


def test_the_film_is_not_sent_twice(reader: Client, finished: Run) -> None:
    url = reverse("run-video", args=[finished.pk])
    known = finished.videos.get().pk
    assert reader.get(url, {"known": known}).status_code == 204
    assert reader.get(url, {"known": ""}).status_code == 200
    assert reader.get(url, {"video": "9" * 40}).status_code == 200


def test_the_timeline_is_newest_first(reader: Client, finished: Run) -> None:
    response = reader.get(reverse("run-timeline", args=[finished.pk]))
    types = [event["type"] for event in response.context["timeline"]]
    assert types == ["status", "evaluation", "checkpoint", "attempt", "status"]


def test_the_page_survives_a_missing_directory(reader: Client, finished: Run) -> None:
    finished.directory.path.rename(finished.directory.path.with_name("away"))
    assert page(reader, finished)
