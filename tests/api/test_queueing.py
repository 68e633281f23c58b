"""Many runs, and their order, through the API."""

from apps.experiments.models import Run
from tests.api.conftest import ApiClient, assert_problem
from tests.conftest import TINY_PPO


def test_posting_seeds_makes_a_list_of_runs(api: ApiClient) -> None:
    answer = api.post("/runs", {**TINY_PPO, "seed": 4, "seeds": 2, "start": False})
    assert answer.status_code == 201
    runs = answer.json()["runs"]
    assert [(run["seed"], run["status"]) for run in runs] == [(4, "draft"), (5, "draft")]
    assert runs[0] == api.get(f"/runs/{runs[0]['id']}").json()
    for seeds in (0, 101, "many", 1.5, True, []):
        problem = assert_problem(api.post("/runs", {**TINY_PPO, "seeds": seeds}), 422)
        assert [error["field"] for error in problem["errors"]] == ["seeds"]
    assert Run.objects.count() == 2
