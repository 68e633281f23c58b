"""Evaluations, films, experiments, catalogues and the machine through the API."""

from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.sbx import SBX_ALGORITHMS
from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.experiments.models import Checkpoint, Evaluation, Run, Video
from apps.experiments.statuses import JobStatus
from apps.spec.run import RunSpec
from tests.api.clients import ApiClient, assert_problem
from tests.builders import make_run


@pytest.fixture
def run(home: Path, db: None) -> Run:
    made = make_run(status="completed")
    Checkpoint.objects.create(run=made, step=256)
    return made


def make_film(run: Run, content: bytes = b"film" * 1000) -> Video:
    """Give a run an evaluation with a film on disk."""
    evaluation = Evaluation.objects.create(
        run=run,
        step=256,
        seed=1,
        status=JobStatus.COMPLETED,
        finished_at=timezone.now(),
        name="eval_1",
        return_mean=9.5,
        result={"returns": [9, 10]},
    )
    folder = run.directory.evaluations
    folder.mkdir(exist_ok=True)
    (folder / "eval_1.mp4").write_bytes(content)
    (folder / "eval_1.webp").write_bytes(b"poster")
    return Video.objects.create(
        run=run,
        evaluation=evaluation,
        step=256,
        path="eval/eval_1.mp4",
        poster_path="eval/eval_1.webp",
        duration_s=2.0,
        width=600,
        height=400,
        size_bytes=len(content),
    )


# --- evaluations


def test_an_evaluation_is_queued_and_has_an_address(run: Run, api: ApiClient) -> None:
    response = api.post(f"/runs/{run.pk}/evaluations", {"at": "best", "n_episodes": 3, "seed": 7})
    assert response.status_code == 202
    evaluation = response.json()
    assert (evaluation["status"], evaluation["step"], evaluation["seed"]) == ("queued", 256, 7)
    assert evaluation["n_episodes"] == 3
    assert response["Location"] == f"/api/v1/runs/{run.pk}/evaluations/{evaluation['id']}"
    assert api.get(f"/runs/{run.pk}/evaluations/{evaluation['id']}").json() == evaluation


def test_an_empty_request_evaluates_the_last_checkpoint(run: Run, api: ApiClient) -> None:
    assert api.post(f"/runs/{run.pk}/evaluations", {}).json()["step"] == 256


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"n_episodes": 0}, "n_episodes"),
        ({"seed": -1}, "seed"),
        ({"should_film": "no"}, "should_film"),
        ({"colour": "red"}, "colour"),
        ({"at": 256}, "at"),
    ],
)
def test_a_refused_option_is_named(
    data: dict[str, Any], field: str, run: Run, api: ApiClient
) -> None:
    problem = assert_problem(api.post(f"/runs/{run.pk}/evaluations", data), 422)
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_checkpoint_that_is_not_there_is_refused(run: Run, api: ApiClient) -> None:
    problem = assert_problem(api.post(f"/runs/{run.pk}/evaluations", {"at": "99"}), 409)
    assert "256" in problem["detail"]


def test_evaluations_are_listed_without_and_shown_with_their_result(
    run: Run, api: ApiClient
) -> None:
    film = make_film(run)
    listed = api.get(f"/runs/{run.pk}/evaluations").json()["evaluations"]
    assert [one["video"] for one in listed] == [film.pk]
    assert "result" not in listed[0]
    latest = api.get(f"/runs/{run.pk}/evaluations/latest").json()
    assert latest["result"] == {"returns": [9, 10]}


def test_latest_is_a_problem_until_one_is_completed(run: Run, api: ApiClient) -> None:
    api.post(f"/runs/{run.pk}/evaluations", {})
    assert_problem(api.get(f"/runs/{run.pk}/evaluations/latest"), 404)


def test_an_evaluation_of_another_run_is_not_shown(run: Run, api: ApiClient) -> None:
    film = make_film(run)
    other = make_run()
    assert_problem(api.get(f"/runs/{other.pk}/evaluations/{film.evaluation_id}"), 404)


# --- films


def test_films_are_listed_with_their_addresses(run: Run, api: ApiClient) -> None:
    film = make_film(run)
    (listed,) = api.get("/videos").json()["videos"]
    assert {**listed, "waiting": ""} == api.get(f"/videos/{film.pk}").json()
    assert listed["file_url"] == f"/api/v1/videos/{film.pk}/file?v={run.pk}-eval_1"
    assert (listed["run"], listed["return_mean"]) == (run.pk, 9.5)
    assert api.get("/videos", run=run.pk).json()["videos"] == [listed]
    assert api.get("/videos", environment="Acrobot-v1").json()["videos"] == []
    assert_problem(api.get("/videos", run="nothing"), 404)


def test_a_list_of_films_does_not_grow_in_queries(
    run: Run, api: ApiClient, django_assert_max_num_queries: Any
) -> None:
    for _ in range(5):
        make_film(make_run())
    api.get("/videos")
    with django_assert_max_num_queries(3):
        assert len(api.get("/videos").json()["videos"]) == 5


def test_a_film_is_served_by_range_and_whole(run: Run, api: ApiClient) -> None:
    film = make_film(run)
    path = f"/videos/{film.pk}/file"
    part = api._client.get(f"/api/v1{path}", headers={"Range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, b"lmfi")
    assert part["Content-Range"] == "bytes 2-5/4000"
    whole = api.get(path)
    assert (whole.status_code, whole.content) == (200, b"film" * 1000)
    assert whole["Content-Type"] == "video/mp4"
    head = api.head(path)
    assert (head.status_code, head["Content-Length"]) == (200, "4000")


def test_a_poster_is_served(run: Run, api: ApiClient) -> None:
    film = make_film(run)
    response = api.get(f"/videos/{film.pk}/poster")
    assert (response["Content-Type"], response.content) == ("image/webp", b"poster")


@pytest.mark.parametrize("path", ["../spec.json", "/etc/passwd", "eval/none.mp4", "eval"])
def test_a_film_outside_its_run_or_gone_is_a_problem(path: str, run: Run, api: ApiClient) -> None:
    film = make_film(run)
    Video.objects.filter(pk=film.pk).update(path=path)
    assert_problem(api.get(f"/videos/{film.pk}/file"), 404)


@pytest.mark.parametrize("video_id", ["999", "99999999999999999999999999"])
def test_a_film_that_is_not_there_is_a_problem(video_id: str, api: ApiClient) -> None:
    assert_problem(api.get(f"/videos/{video_id}"), 404)
    assert_problem(api.get(f"/videos/{video_id}/file"), 404)


# --- experiments


def test_experiments_are_made_listed_and_changed(api: ApiClient) -> None:
    made = api.post("/experiments", {"name": "Does lr matter?", "hypothesis": "Yes."})
    assert made.status_code == 201
    changed = api.patch(f"/experiments/{made.json()['id']}", {"hypothesis": "No."}).json()
    assert changed["hypothesis"] == "No."
    make_run()
    listed = api.get("/experiments").json()["experiments"]
    assert {(one["name"], one["n_runs"]) for one in listed} == {
        ("Does lr matter?", 0),
        ("Tests", 1),
    }


def test_a_second_experiment_of_a_name_is_refused(api: ApiClient) -> None:
    api.post("/experiments", {"name": "One"})
    assert_problem(api.post("/experiments", {"name": "One"}), 409)


@pytest.mark.parametrize("data", [{}, {"name": ""}, {"name": "n" * 121}, {"name": "x", "y": 1}])
def test_a_refused_experiment_is_a_problem(data: dict[str, Any], api: ApiClient) -> None:
    assert_problem(api.post("/experiments", data), 422)


def test_an_experiment_that_is_not_there_cannot_be_changed(api: ApiClient) -> None:
    assert_problem(api.patch("/experiments/99", {"hypothesis": ""}), 404)


# --- catalogues and the machine


def test_algorithms_come_with_the_bounds_of_every_hyperparameter(api: ApiClient) -> None:
    algorithms = {one["name"]: one for one in api.get("/algorithms").json()["algorithms"]}
    assert algorithms.keys() == ALGORITHMS.keys()
    for name, algorithm in algorithms.items():
        assert {one["name"] for one in algorithm["hyperparameters"]} == {
            *ALGORITHMS[name].hyperparameters
        }
    rate = algorithms["ppo"]["hyperparameters"][0]
    assert (rate["name"], rate["low"], rate["high"]) == ("learning_rate", 1e-7, 1.0)
    assert "linear decay" in rate["allowed"]


def test_a_backend_s_algorithms_come_with_its_own_bounds(api: ApiClient) -> None:
    listed = api.get("/algorithms", backend="sbx").json()["algorithms"]
    ported = {one["name"]: one for one in listed}
    assert ported.keys() == SBX_ALGORITHMS.keys()
    assert (ported["sac"]["backend"], ported["sac"]["backends"]) == ("sbx", ["torch", "sbx"])
    names = {one["name"] for one in ported["sac"]["hyperparameters"]}
    assert names == {*SBX_ALGORITHMS["sac"].hyperparameters}
    assert_problem(api.get("/algorithms", backend="tensorflow"), 422)


def test_environments_say_which_algorithms_can_act_in_them(api: ApiClient) -> None:
    listed = {one["id"]: one for one in api.get("/environments").json()["environments"]}
    assert listed.keys() == ENVIRONMENTS.keys()
    assert "dqn" not in listed["Pendulum-v1"]["algorithms"]
    assert listed["CartPole-v1"]["lengths"]["quick"] == 20_000


def test_environments_are_filtered(api: ApiClient) -> None:
    found = api.get("/environments", search="pole", algorithm="sac").json()["environments"]
    assert {one["id"] for one in found} == {
        "InvertedPendulum-v5",
        "InvertedDoublePendulum-v5",
    }
    for refused in ({"family": "robots"}, {"algorithm": "sarsa"}):
        assert_problem(api.get("/environments", **refused), 422)


def test_an_environment_says_what_its_numbers_mean_and_what_it_takes(api: ApiClient) -> None:
    run = make_run(environment="ALE/Pong-v5")
    pong = api.get("/environments/ALE/Pong-v5").json()
    assert pong["observation_space"]["shape"] == [84, 84, 4]
    assert [one["meaning"] for one in pong["actions"]["numbers"]][:2] == ["nothing", "fire"]
    assert pong["storage"]["transition_bytes"] == 2 * 84 * 84 * 4 + 8 + 12
    assert pong["storage"]["buffer_bytes"]["dqn"] == 1_000_000 * 56_468
    assert "box" in pong["misfits"]["sac"]
    assert pong["own_presets"]["ppo"] == ["high_score"]
    assert [one["id"] for one in pong["latest_runs"]] == [run.pk]


@pytest.mark.parametrize("environment", ["Nope-v0", "nope:Nope-v0", "a/b/c/d"])
def test_an_environment_that_is_in_no_list_is_a_problem(environment: str, api: ApiClient) -> None:
    assert_problem(api.get(f"/environments/{environment}"), 404)


def test_every_preset_makes_a_valid_spec(api: ApiClient) -> None:
    presets = api.get("/presets", environment="CartPole-v1").json()["presets"]
    assert len(presets) == 3 * len(ALGORITHMS)
    for preset in presets:
        fields = ("algorithm", "environment", "n_envs", "hyperparameters")
        RunSpec.from_dict({name: preset[name] for name in fields})


def test_presets_of_an_unknown_algorithm_are_refused(api: ApiClient) -> None:
    assert_problem(api.get("/presets", algorithm="sarsa"), 422)


def test_the_system_says_that_no_worker_is_there(api: ApiClient, home: Path) -> None:
    (home / "media").mkdir(exist_ok=True)
    system = api.get("/system").json()
    assert system["is_worker_missing"] is True
    assert system["disk_free_bytes"] > 0
    assert 0 <= system["memory_fraction"] <= 1
