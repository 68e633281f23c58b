"""Many runs, and their order, through the API."""

from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from tests.api.clients import ApiClient, assert_problem
from tests.builders import TINY_PPO, make_run


def test_posting_seeds_makes_a_list_of_runs(api: ApiClient) -> None:
    answer = api.post("/runs", {**TINY_PPO, "seed": 4, "seeds": 2, "start": False})
    assert answer.status_code == 201
    runs = answer.json()["runs"]
    assert [(run["seed"], run["status"]) for run in runs] == [(4, "draft"), (5, "draft")]
    assert runs == api.get("/runs", order="seed").json()["runs"]
    for seeds in (0, 101, "many", 1.5, True, []):
        problem = assert_problem(api.post("/runs", {**TINY_PPO, "seeds": seeds}), 422)
        assert [error["field"] for error in problem["errors"]] == ["seeds"]
    assert Run.objects.count() == 2


def test_a_run_is_given_its_priority_and_another_one_while_it_waits(api: ApiClient) -> None:
    run = api.post("/runs", {**TINY_PPO, "priority": 5}).json()
    assert run["priority"] == 5
    assert "it is next" in run["waiting"]
    changed = api.patch(f"/runs/{run['id']}", {"priority": -3, "name": "later"}).json()
    assert (changed["priority"], changed["name"]) == (-3, "later")
    for bad in (101, "high", 1.5, True):
        refused = assert_problem(api.patch(f"/runs/{run['id']}", {"priority": bad}), 422)
        assert "from -100 to 100" in refused["errors"][0]["message"]
        assert_problem(api.post("/runs", {**TINY_PPO, "priority": bad}), 422)
    assert Run.objects.get().priority == -3


def test_the_priority_of_what_does_not_wait_stays_and_so_does_the_rest(api: ApiClient) -> None:
    run = make_run(status=RunStatus.COMPLETED, name="before")
    problem = assert_problem(api.patch(f"/runs/{run.pk}", {"priority": 1, "name": "after"}), 409)
    assert "only while it is a draft or queued" in problem["detail"]
    assert Run.objects.get().name == "before"
