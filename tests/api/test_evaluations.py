"""The queue of evaluations and films over REST: listed, told why they wait, cancelled."""

from typing import Any

import pytest

from apps.experiments.models import Evaluation, Run, Video
from apps.experiments.statuses import JobStatus, RunStatus
from apps.spec.evaluation import EvalSpec
from tests.api.clients import ApiClient, assert_problem
from tests.builders import make_run

pytestmark = pytest.mark.django_db


@pytest.fixture
def run(api: ApiClient) -> Run:
    return make_run(status=RunStatus.COMPLETED)


def ask(run: Run, step: int = 1) -> Evaluation:
    return Evaluation.objects.ask(run, step, EvalSpec())


def evaluated(run: Run, **fields: object) -> tuple[Evaluation, Video]:
    """An evaluation that is done, and whose film waits."""
    evaluation = Evaluation.objects.create(
        run=run, step=1, status=JobStatus.COMPLETED, name="eval_1", return_mean=1e-8, **fields
    )
    return evaluation, Video.objects.owe(evaluation)


def test_all_evaluations_are_listed_narrowed_and_paged(api: ApiClient, run: Run) -> None:
    other = make_run(status=RunStatus.COMPLETED, environment="Acrobot-v1")
    first, second = ask(run, 1), ask(run, 2)
    third, _ = evaluated(other)
    listed = api.get("/evaluations", limit=2).json()
    assert [one["id"] for one in listed["evaluations"]] == [third.pk, second.pk]
    rest = api.get("/evaluations", limit=2, cursor=listed["next_cursor"]).json()
    assert [one["id"] for one in rest["evaluations"]] == [first.pk]
    for query, found in (
        ({"status": "queued,running"}, [second, first]),
        ({"status": "completed"}, [third]),
        ({"run": run.pk}, [second, first]),
        ({"environment": "Acrobot-v1"}, [third]),
        ({"experiment": "Tests"}, [third, second, first]),
        ({"experiment": "None such"}, []),
    ):
        rows = api.get("/evaluations", **query).json()["evaluations"]
        assert [one["id"] for one in rows] == [one.pk for one in found]


def test_an_evaluation_says_why_it_waits_and_so_does_its_run(api: ApiClient, run: Run) -> None:
    ask(run, 1)
    second = ask(run, 2)
    told = api.get(f"/evaluations/{second.pk}").json()
    assert told["waiting"].startswith("no worker is alive")
    assert told["waiting"].endswith("1 before it")
    pending = api.get(f"/runs/{run.pk}").json()["pending"]
    assert [(one["kind"], one["step"], one["status"]) for one in pending] == [
        ("evaluation", 1, "queued"),
        ("evaluation", 2, "queued"),
    ]
    assert pending[1]["waiting"] == told["waiting"]


def test_figures_are_told_before_the_film_is_there(api: ApiClient, run: Run) -> None:
    evaluation, video = evaluated(run)
    told = api.get(f"/evaluations/{evaluation.pk}").json()
    assert (told["status"], told["return_mean"]) == ("completed", 1e-8)
    assert (told["video"], told["video_status"]) == (None, "queued")
    assert "no worker" in told["video_waiting"]
    assert api.get("/videos").json()["videos"] == []
    (listed,) = api.get("/videos", status="queued").json()["videos"]
    assert (listed["id"], listed["file_url"], listed["duration_s"]) == (video.pk, None, None)
    assert_problem(api.get(f"/videos/{video.pk}/file"), 404)


def test_returns_that_are_not_finite_are_named(api: ApiClient, run: Run) -> None:
    evaluation, _ = evaluated(run, special={"return_min": "-inf"}, interrupted="ended after 5 s")
    told = api.get(f"/runs/{run.pk}/evaluations/{evaluation.pk}").json()
    assert (told["return_min"], told["special"]) == (None, {"return_min": "-inf"})
    assert told["interrupted"] == "ended after 5 s"


def test_an_evaluation_is_cancelled_once(api: ApiClient, run: Run) -> None:
    evaluation = ask(run)
    told = api.post(f"/evaluations/{evaluation.pk}/cancel")
    assert (told.status_code, told.json()["status"]) == (202, "cancelled")
    assert told.json()["error"] == "Cancelled by its user."
    refused = assert_problem(api.post(f"/evaluations/{evaluation.pk}/cancel"), 409)
    assert "only what waits or is worked on" in refused["detail"]


def test_a_film_is_cancelled_by_its_evaluation_or_by_itself(api: ApiClient, run: Run) -> None:
    evaluation, video = evaluated(run)
    told = api.post(f"/evaluations/{evaluation.pk}/cancel").json()
    assert (told["status"], told["video_status"]) == ("completed", "cancelled")
    assert told["film_error"] == "Cancelled by its user."
    assert_problem(api.post(f"/videos/{video.pk}/cancel"), 409)
    Video.objects.filter(pk=video.pk).update(status=JobStatus.RUNNING, owner="a:1:x")
    assert api.post(f"/videos/{video.pk}/cancel").json()["status"] == "cancelled"


@pytest.mark.parametrize("number", ["0", "999999999999999999999", "seven", "-1", "1.5"])
def test_what_is_no_evaluation_is_not_found(api: ApiClient, run: Run, number: str) -> None:
    assert_problem(api.get(f"/evaluations/{number}"), 404)
    assert_problem(api.post(f"/evaluations/{number}/cancel"), 404)


@pytest.mark.parametrize("path", ["/evaluations", "/videos"])
def test_a_status_that_is_none_is_refused(api: ApiClient, run: Run, path: str) -> None:
    refused = assert_problem(api.get(path, status="queued,done"), 422)
    assert refused["errors"][0]["field"] == "status"
    assert "cancelled" in refused["detail"]
    assert_problem(api.get(path, cursor="x"), 422)
    assert_problem(api.get(path, limit=0), 422)


def test_a_stranger_sees_and_cancels_nothing(run: Run) -> None:
    evaluation = ask(run)
    stranger = ApiClient("none")
    for answer in (
        stranger.get("/evaluations"),
        stranger.post(f"/evaluations/{evaluation.pk}/cancel"),
        stranger.post("/videos/1/cancel"),
    ):
        assert_problem(answer, 401)
    evaluation.refresh_from_db()
    assert evaluation.status == JobStatus.QUEUED


def test_a_run_s_list_of_evaluations_does_not_grow_in_queries(
    api: ApiClient, run: Run, django_assert_max_num_queries: Any
) -> None:
    for step in range(12):
        ask(run, step).cancel("Cancelled by its user.")
    api.get(f"/runs/{run.pk}/evaluations")
    with django_assert_max_num_queries(4):
        listed = api.get(f"/runs/{run.pk}/evaluations").json()["evaluations"]
    assert [one["error"] for one in listed] == ["Cancelled by its user."] * 12
