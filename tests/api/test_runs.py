"""Runs through the API: make, list, show, change, move."""

from typing import Any

import pytest

from apps.experiments.models import Checkpoint, Run
from apps.experiments.statuses import RunStatus
from apps.jobs.verbs.preflight import AT_ONCE, _slots
from apps.rundir import events
from tests.api.clients import ApiClient, assert_problem
from tests.builders import TINY_PPO, make_run


def test_a_posted_spec_becomes_a_queued_run_with_an_address(api: ApiClient) -> None:
    response = api.post("/runs", {**TINY_PPO, "name": "first", "experiment": "Balance"})
    assert response.status_code == 201
    run = response.json()
    assert run["status"] == "queued"
    assert run["name"] == "first"
    assert run["experiment"] == "Balance"
    assert run["spec"]["hyperparameters"]["n_steps"] == 64
    assert run["legal_moves"] == ["running", "stopped"]
    assert response["Location"] == f"/api/v1/runs/{run['id']}"
    assert api.get(f"/runs/{run['id']}").json() == run


def test_start_false_leaves_a_draft_that_start_queues(api: ApiClient) -> None:
    run = api.post("/runs", {**TINY_PPO, "start": False}).json()
    assert run["status"] == "draft"
    started = api.post(f"/runs/{run['id']}/start")
    assert started.status_code == 202
    assert started.json()["status"] == "queued"


def test_a_second_start_is_refused_and_lists_the_legal_moves(api: ApiClient) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    problem = assert_problem(api.post(f"/runs/{run.pk}/start"), 409, legal_moves=[])
    assert "completed" in problem["detail"]


def test_stopping_a_queued_run_stops_it_at_once(api: ApiClient) -> None:
    run = api.post("/runs", TINY_PPO).json()
    stopped = api.post(f"/runs/{run['id']}/stop")
    assert stopped.status_code == 202
    assert stopped.json()["status"] == "stopped"
    assert_problem(api.post(f"/runs/{run['id']}/stop"), 409)


def test_every_refused_field_is_named_with_value_and_bounds(api: ApiClient) -> None:
    response = api.post(
        "/runs",
        {
            "algorithm": "ppo",
            "total_timesteps": 0,
            "n_envs": 4000,
            "colour": "red",
            "hyperparameters": {"learning_rate": 7, "epsilon": 1},
        },
    )
    problem = assert_problem(response, 422)
    messages = {error["field"]: error["message"] for error in problem["errors"]}
    assert "from 1 to 1000000000" in messages["total_timesteps"]
    assert "4000" in messages["n_envs"]
    assert "256" in messages["n_envs"]
    assert "unknown" in messages["colour"]
    assert "7" in messages["hyperparameters.learning_rate"]
    assert "hyperparameters.epsilon" in messages
    assert Run.objects.count() == 0


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"name": "n" * 121}, "name"),
        ({"start": "perhaps"}, "start"),
        ({"experiment": 7}, "experiment"),
        ({"seed": True}, "seed"),
        ({"n_envs": 1.5}, "n_envs"),
        ({"hyperparameters": [1]}, "hyperparameters"),
        ({"normalize": 7}, "normalize"),
        ({"normalize": {"norm_obs": False, "clip_reward": "far"}}, "normalize.clip_reward"),
        ({"environment": "../etc"}, "environment"),
        ({"algorithm": "sarsa"}, "algorithm"),
    ],
)
def test_a_refused_field_is_named(data: dict[str, Any], field: str, api: ApiClient) -> None:
    problem = assert_problem(api.post("/runs", {**TINY_PPO, **data}), 422)
    assert field in [error["field"] for error in problem["errors"]]


@pytest.mark.parametrize("body", ["{", "[1", '{"seed": NaN}', "\udcff"])
def test_a_body_that_is_not_json_is_malformed(body: str, api: ApiClient) -> None:
    response = api._client.post(
        "/api/v1/runs", body.encode("utf-8", "surrogateescape"), content_type="application/json"
    )
    assert_problem(response, 400, type="urn:rlgym:problem:malformed")


@pytest.mark.parametrize("body", ["", "[]", "7", "null", '"text"'])
def test_a_body_that_is_no_object_is_invalid(body: str, api: ApiClient) -> None:
    response = api._client.post("/api/v1/runs", body, content_type="application/json")
    assert_problem(response, 422)


def test_a_run_is_found_by_id_prefix_name_and_latest(api: ApiClient) -> None:
    make_run(name="older")
    run = make_run(name="newer")
    for text in (run.pk, run.pk[:9], "newer", "latest"):
        assert api.get(f"/runs/{text}").json()["id"] == run.pk


def test_an_ambiguous_name_lists_what_it_may_mean(api: ApiClient) -> None:
    first, second = make_run(name="same"), make_run(name="same")
    detail = assert_problem(api.get("/runs/same"), 404)["detail"]
    assert first.pk in detail
    assert second.pk in detail


@pytest.mark.parametrize("text", ["nothing", "%00", "..", "%25", "a%00b"])
def test_a_run_that_is_not_there_is_a_problem(text: str, api: ApiClient) -> None:
    assert_problem(api.get(f"/runs/{text}"), 404)


def test_renaming_keeps_row_and_directory_in_step(api: ApiClient) -> None:
    run = make_run(name="before")
    assert api.patch(f"/runs/{run.pk}", {"name": "after"}).json()["name"] == "after"
    assert b'"after"' in run.directory.record.read_bytes()
    assert api.get("/runs/after").json()["id"] == run.pk


@pytest.mark.parametrize("data", [{}, {"name": ""}, {"name": "n" * 121}, {"name": "x", "seed": 2}])
def test_a_refused_change_of_a_run_changes_nothing(data: dict[str, Any], api: ApiClient) -> None:
    run = make_run(name="before")
    assert_problem(api.patch(f"/runs/{run.pk}", data), 422)
    run.refresh_from_db()
    assert run.name == "before"


def test_a_deleted_run_comes_back_with_restore(api: ApiClient) -> None:
    run = make_run(status=RunStatus.COMPLETED)
    assert api.delete(f"/runs/{run.pk}").status_code == 204
    assert_problem(api.get(f"/runs/{run.pk}"), 404)
    restored = api.post(f"/runs/{run.pk}/restore")
    assert restored.status_code == 200
    assert restored.json()["id"] == run.pk
    assert run.directory.spec.exists()


def test_a_running_run_is_not_deleted(api: ApiClient) -> None:
    run = make_run(status=RunStatus.RUNNING, owner="here:1:x")
    problem = assert_problem(api.delete(f"/runs/{run.pk}"), 409)
    assert "stop it" in problem["detail"]


@pytest.mark.parametrize("text", ["nothing", "..", "latest"])
def test_what_is_not_in_the_trash_is_not_restored(text: str, api: ApiClient) -> None:
    response = api.post(f"/runs/{text}/restore")
    assert response.status_code in {404, 409}


def test_the_config_shows_spec_and_provenance(api: ApiClient) -> None:
    run = make_run()
    config = api.get(f"/runs/{run.pk}/config").json()
    assert config["spec"]["algorithm"] == "ppo"
    assert config["provenance"] is None
    run.directory.provenance.write_bytes(b'{"host": "lab"}')
    assert api.get(f"/runs/{run.pk}/config").json()["provenance"] == {"host": "lab"}


def test_a_missing_directory_is_a_problem_that_names_no_path(api: ApiClient) -> None:
    run = make_run()
    run.directory.spec.unlink()
    problem = assert_problem(api.get(f"/runs/{run.pk}/config"), 404)
    assert str(run.directory.path) not in problem["detail"]


def test_checkpoints_are_listed_by_step(api: ApiClient) -> None:
    run = make_run()
    Checkpoint.objects.create(run=run, step=200, is_best=True, size_bytes=10)
    Checkpoint.objects.create(run=run, step=100)
    checkpoints = api.get(f"/runs/{run.pk}/checkpoints").json()["checkpoints"]
    assert [one["step"] for one in checkpoints] == [100, 200]
    assert [one["is_best"] for one in checkpoints] == [False, True]


# --- lists


def test_lists_filter_by_status_algorithm_environment_and_text(api: ApiClient) -> None:
    queued = make_run(name="alpha", status=RunStatus.QUEUED)
    done = make_run(name="beta", status=RunStatus.COMPLETED, algorithm="dqn")

    def ids(**query: str) -> set[str]:
        return {run["id"] for run in api.get("/runs", **query).json()["runs"]}

    assert ids() == {queued.pk, done.pk}
    assert ids(status="queued") == {queued.pk}
    assert ids(status="queued,completed") == {queued.pk, done.pk}
    assert ids(algorithm="dqn") == {done.pk}
    assert ids(environment="CartPole-v1") == {queued.pk, done.pk}
    assert ids(experiment="Tests", search="ALPH") == {queued.pk}
    assert ids(search="nothing like it") == set()


def test_a_list_reads_no_spec_and_does_not_grow_with_its_rows(
    api: ApiClient, django_assert_max_num_queries: Any
) -> None:
    for _ in range(20):
        make_run()
    api.get("/runs")
    with django_assert_max_num_queries(3) as queries:
        runs = api.get("/runs").json()["runs"]
    assert len(runs) == 20
    assert "spec" not in runs[0]
    assert not any('"spec"' in query["sql"] for query in queries.captured_queries)


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"order": "spec"}, "order"),
        ({"order": "experiment__name"}, "order"),
        ({"order": "--name"}, "order"),
        ({"status": "asleep"}, "status"),
        ({"kind": "asleep"}, "kind"),
        ({"created_from": "yesterday"}, "created_from"),
        ({"created_to": "2026-02-30"}, "created_to"),
        ({"cursor": "!!!"}, "cursor"),
        ({"cursor": "W10"}, "cursor"),
        ({"search": "x" * 201}, "search"),
    ],
)
def test_a_refused_parameter_is_named(query: dict[str, Any], field: str, api: ApiClient) -> None:
    problem = assert_problem(api.get("/runs", **query), 422)
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_limit_beyond_its_bounds_names_value_and_bound(api: ApiClient) -> None:
    message = assert_problem(api.get("/runs", limit=500), 422)["errors"][0]["message"]
    assert "500" in message
    assert "200" in message


def test_a_cursor_of_another_order_is_refused(api: ApiClient) -> None:
    make_run()
    make_run()
    cursor = api.get("/runs", limit=1).json()["next_cursor"]
    assert_problem(api.get("/runs", order="name", cursor=cursor), 422)


def test_a_run_that_arrives_between_two_pages_hides_no_other(api: ApiClient) -> None:
    for _ in range(4):
        make_run()
    first = api.get("/runs", limit=2).json()
    make_run()
    second = api.get("/runs", limit=10, cursor=first["next_cursor"]).json()
    assert len(second["runs"]) == 2
    assert not {run["id"] for run in first["runs"]} & {run["id"] for run in second["runs"]}


def test_infinite_summaries_are_null_in_json(api: ApiClient) -> None:
    run = make_run(return_best=float("inf"))
    run.directory.append(events.metrics(1, {"x": 1.0}))
    assert api.get(f"/runs/{run.pk}").json()["return_best"] is None


@pytest.mark.slow
def test_a_check_tells_of_an_environment_that_breaks_and_makes_no_run(api: ApiClient) -> None:
    response = api.post("/runs/preflight", {"environment": "tests.worlds.misbehaving:Raises-v0"})
    assert response.status_code == 200
    found = response.json()
    assert found["severity"] == "refusal"
    assert (
        "broke while taking random steps: RuntimeError: the simulator fell over"
        in (found["findings"][0]["message"])
    )
    assert "in reset" in found["traceback"]
    assert not Run.objects.exists()


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"n_envs": 10_000}, "n_envs"),
        ({"seed": 2**32}, "seed"),
        ({"wings": 2}, "wings"),
        ({"init": "nobody"}, "init"),
    ],
)
def test_a_check_refuses_what_a_run_refuses(
    data: dict[str, Any], field: str, api: ApiClient
) -> None:
    problem = assert_problem(api.post("/runs/preflight", data), 422)
    assert [error["field"] for error in problem["errors"]] == [field]


def test_a_check_that_finds_no_room_is_to_come_again(api: ApiClient) -> None:
    for _ in range(AT_ONCE):
        assert _slots.acquire(blocking=False)
    try:
        response = api.post("/runs/preflight", {})
    finally:
        _slots.release(AT_ONCE)
    assert_problem(response, 503)
    assert response["Retry-After"] == "10"


@pytest.mark.parametrize("steps", [1e5, "1e5", "100_000"])
def test_whole_numbers_of_any_spelling_are_taken(api: ApiClient, steps: Any) -> None:
    run = api.post("/runs", {**TINY_PPO, "total_timesteps": steps, "n_envs": 1.0}).json()
    assert (run["spec"]["total_timesteps"], run["spec"]["n_envs"]) == (100_000, 1)


@pytest.mark.parametrize(("steps", "status"), [(5.0, 409), (5.5, 422), (True, 422), ("5", 422)])
def test_further_steps_are_a_whole_number(api: ApiClient, steps: Any, status: int) -> None:
    run = make_run(status=RunStatus.COMPLETED)  # It has no checkpoint, which is looked at later.
    assert_problem(api.post(f"/runs/{run.pk}/continue", {"more_timesteps": steps}), status)


@pytest.mark.parametrize("body", ['{"seed": 1, "seed": 2}', '{"hyperparameters": {"a":1,"a":2}}'])
def test_a_body_that_gives_a_key_twice_is_refused(api: ApiClient, body: str) -> None:
    problem = assert_problem(api.post("/runs", body), 400)
    assert "is given twice; leave one of them out" in problem["detail"]
    assert not Run.objects.exists()
