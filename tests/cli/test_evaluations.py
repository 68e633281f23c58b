"""The queue of evaluations in a terminal: listed, told why they wait, cancelled."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from apps.cli.shapes import evaluations_as_dicts
from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.statuses import JobStatus, RunStatus
from apps.spec.evaluation import EvalSpec
from tests.builders import make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


@pytest.fixture
def run(home: Path) -> Run:
    return make_run(status=RunStatus.COMPLETED, name="asked")


def call(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


def ask(run: Run, step: int = 1) -> Evaluation:
    return Evaluation.objects.ask(run, step, EvalSpec())


def evaluated(run: Run) -> Evaluation:
    return Evaluation.objects.create(
        run=run, step=256, status=JobStatus.COMPLETED, name="eval_1", return_mean=1e-8
    )


def test_evaluations_are_listed_with_why_they_wait(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert call("evaluations") == "No evaluation matches.\n"
    ask(run, 1)
    ask(run, 2)
    Video.objects.owe(evaluated(run))
    call("evaluations")
    told = capsys.readouterr().out
    assert "no worker is alive" in told
    assert "1 before it" in told
    assert "\t1e-08\t" in told


def test_json_tells_all_of_an_evaluation_and_pages_go_on(run: Run) -> None:
    first, second = ask(run, 1), ask(run, 2)
    done = evaluated(run)
    Video.objects.owe(done)
    listed = json.loads(call("evaluations", "--status", "queued,running", "--json"))
    assert [one["id"] for one in listed] == [second.pk, first.pk]
    assert listed[0]["waiting"].endswith("1 before it")
    (newest,) = json.loads(call("evaluations", "--limit", "1", "--json"))
    assert (newest["id"], newest["return_mean"], newest["video"]) == (done.pk, 1e-8, None)
    assert newest["video_status"] == "queued"
    rest = json.loads(call("evaluations", "--run", run.pk, "--after", str(done.pk), "--json"))
    assert [one["id"] for one in rest] == [second.pk, first.pk]


def test_a_run_says_why_its_evaluations_and_films_wait(
    run: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    evaluation, video = ask(run, 7), Video.objects.owe(evaluated(run))
    call("run", run.pk)
    told = capsys.readouterr().out
    assert f"evaluation {evaluation.pk}" in told
    assert f"video {video.pk}" in told
    assert "queued at step 7: no worker is alive" in told


def test_an_evaluation_is_cancelled_and_then_its_like_is_refused(run: Run) -> None:
    evaluation = ask(run)
    assert call("cancel", str(evaluation.pk)) == f"evaluation {evaluation.pk} is cancelled\n"
    with pytest.raises(CommandError, match="only what waits or is worked on can be cancelled"):
        call("cancel", str(evaluation.pk))
    done = evaluated(run)
    Video.objects.owe(done)
    told = json.loads(call("cancel", str(done.pk), "--json"))
    assert (told["status"], told["video_status"]) == ("completed", "cancelled")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("cancel", "12"), "there is no evaluation '12'; `evaluations` lists them"),
        (("cancel", "x\x1b[1m"), "there is no evaluation"),
        (("evaluations", "--status", "done"), "'done' is not allowed"),
        (("evaluations", "--limit", "0"), "must be at least 1"),
        (("evaluations", "--after", "9"), "there is no evaluation '9'"),
        (("evaluations", "--run", "none"), "no run has the id"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(CommandError) as refused:
        call(*arguments)
    assert words in str(refused.value)
    assert "\x1b" not in str(refused.value)


def test_the_queues_are_looked_at_once_for_all_evaluations(
    run: Run, django_assert_max_num_queries: Any
) -> None:
    evaluations = [ask(run, step) for step in range(12)]
    rows = Evaluation.objects.select_related("run", "video")
    with django_assert_max_num_queries(8):
        told = evaluations_as_dicts(rows)
    assert all(one["waiting"] for one in told)
    assert {one["id"] for one in told} == {one.pk for one in evaluations}
