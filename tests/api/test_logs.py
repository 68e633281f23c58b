"""What the API reads from a run's log."""

import math
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from apps.experiments.models import Run
from apps.rundir import events
from tests.api.clients import ApiClient, assert_problem
from tests.builders import make_run


@pytest.fixture
def run(home: object, db: None) -> Run:
    """A run with ten points, ten episodes, and values that JSON cannot say."""
    made = make_run()
    for step in range(10):
        made.directory.append(
            events.metrics(step * 10, {"train/loss": step / 2}),
            events.episode(step * 10, float(step), 5 + step, 0),
        )
    made.directory.append(
        events.metrics(100, {"train/loss": math.nan, "train/kl": math.inf}),
        events.metrics(110, {"train/loss": 1.0, "train/kl": -math.inf}),
    )
    return made


def test_curves_come_with_their_counts_and_the_cursor(run: Run, api: ApiClient) -> None:
    found = api.get(f"/runs/{run.pk}/metrics", keys="train/loss").json()
    assert found["keys"] == ["episode/length", "episode/return", "train/kl", "train/loss"]
    assert found["cursor"] == run.directory.log.stat().st_size
    assert (found["n_raw"], found["n_sent"], found["downsampled"]) == (12, 12, False)
    curve = found["series"]["train/loss"]
    assert curve["steps"] == [*range(0, 120, 10)]
    assert curve["values"] == [step / 2 for step in range(10)] + [None, 1.0]
    assert len(curve["times"]) == 12


def test_nan_and_inf_are_null_and_flagged(run: Run, api: ApiClient) -> None:
    series = api.get(f"/runs/{run.pk}/metrics").json()["series"]
    assert series["train/loss"]["special"] == {"10": "nan"}
    assert series["train/kl"]["special"] == {"0": "inf", "1": "-inf"}
    assert "special" not in series["episode/return"]


def test_a_range_of_steps_and_a_limit_of_points_are_kept(run: Run, api: ApiClient) -> None:
    some = api.get(f"/runs/{run.pk}/metrics", keys="train/loss", from_step=20, to_step=40).json()
    assert some["series"]["train/loss"]["steps"] == [20, 30, 40]
    few = api.get(f"/runs/{run.pk}/metrics", keys="train/loss", max_points=4).json()
    assert few["downsampled"]
    assert few["n_raw"] == 12 > few["n_sent"]
    assert few["series"]["train/loss"]["downsampled"]


@pytest.fixture
def resumed(home: object, db: None) -> Run:
    """A run whose second attempt went on from step 10 and started step 20 over."""
    made = make_run()
    made.directory.append(
        events.attempt(0, 1, "exact"),
        *(events.metrics(step, {"train/loss": step / 10}) for step in (0, 10, 20)),
        events.attempt(10, 2, "exact"),
        events.metrics(20, {"train/loss": math.inf}),
        events.episode(20, 1.0, 20, 0),
    )
    return made


def test_points_may_be_placed_by_another_axis(resumed: Run, api: ApiClient) -> None:
    along_steps = api.get(f"/runs/{resumed.pk}/metrics", keys="train/loss").json()
    assert along_steps["axis"] == "step"
    assert along_steps["resumptions"][0]["step"] == along_steps["resumptions"][0]["x"] == 10
    assert not {"xs", "smoothed", "superseded"} & along_steps["series"]["train/loss"].keys()
    along_time = api.get(f"/runs/{resumed.pk}/metrics", keys="train/loss", axis="time").json()
    xs = along_time["series"]["train/loss"]["xs"]
    assert len(xs) == 3
    assert xs == sorted(xs)
    assert along_time["resumptions"][0]["attempt"] == 2
    assert along_time["resumptions"][0]["pause_s"] >= 0
    by_episodes = api.get(f"/runs/{resumed.pk}/metrics", axis="episodes").json()
    assert by_episodes["series"]["episode/return"]["xs"] == [1]


def test_smoothed_values_come_beside_the_raw_ones(resumed: Run, api: ApiClient) -> None:
    for parameters in ({"smoothing": 0.5}, {"window": 1000}):
        found = api.get(f"/runs/{resumed.pk}/metrics", **parameters).json()
        curve = found["series"]["train/loss"]
        assert curve["values"] == [0, 1, None]
        assert curve["special"] == {"2": "inf"}
        assert curve["smoothed"][2] == curve["smoothed"][1] == pytest.approx(0.6, abs=0.11)


def test_superseded_points_come_when_asked_for(resumed: Run, api: ApiClient) -> None:
    found = api.get(f"/runs/{resumed.pk}/metrics", superseded="true", axis="time").json()
    (lost,) = found["series"]["train/loss"]["superseded"]
    assert (lost["attempt"], lost["steps"], lost["values"]) == (1, [20], [2.0])
    assert len(lost["xs"]) == lost["n_raw"] == 1
    assert found["series"]["episode/return"]["superseded"] == []
    assert found["n_raw"] == 5, "superseded points are counted apart"


def test_an_unknown_key_has_no_series(run: Run, api: ApiClient) -> None:
    assert api.get(f"/runs/{run.pk}/metrics", keys="nothing").json()["series"] == {}


def test_a_run_without_a_log_has_no_curves(api: ApiClient) -> None:
    run = make_run()
    found = api.get(f"/runs/{run.pk}/metrics").json()
    assert (found["series"], found["cursor"]) == ({}, 0)


def test_after_returns_the_raw_events_since_a_cursor(run: Run, api: ApiClient) -> None:
    end = run.directory.log.stat().st_size
    run.directory.append(events.metrics(120, {"train/loss": math.nan}))
    delta = api.get(f"/runs/{run.pk}/metrics", after=end).json()
    assert [event["step"] for event in delta["events"]] == [120]
    assert delta["events"][0]["special"] == {"train/loss": "nan"}
    assert delta["cursor"] == run.directory.log.stat().st_size
    assert not delta["has_more"]
    again = api.get(f"/runs/{run.pk}/metrics", after=delta["cursor"]).json()
    assert again == {"cursor": delta["cursor"], "events": [], "has_more": False}


def test_a_cursor_inside_a_line_goes_on_at_the_next(run: Run, api: ApiClient) -> None:
    delta = api.get(f"/runs/{run.pk}/metrics", after=3).json()
    assert delta["events"][0]["type"] == "episode"
    assert len(delta["events"]) == 21


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"after": -1}, "after"),
        ({"after": 10**9}, "after"),
        ({"max_points": 3}, "max_points"),
        ({"max_points": 20_001}, "max_points"),
        ({"from_step": -1}, "from_step"),
        ({"to_step": "soon"}, "to_step"),
        ({"axis": "epochs"}, "axis"),
        ({"smoothing": 1}, "smoothing"),
        ({"smoothing": -0.1}, "smoothing"),
        ({"smoothing": "nan"}, "smoothing"),
        ({"window": -1}, "window"),
        ({"window": 2**53}, "window"),
        ({"smoothing": 0.5, "window": 10}, "window"),
        ({"superseded": "perhaps"}, "superseded"),
    ],
)
def test_a_refused_parameter_is_named(
    query: dict[str, Any], field: str, run: Run, api: ApiClient
) -> None:
    problem = assert_problem(api.get(f"/runs/{run.pk}/metrics", **query), 422)
    assert [error["field"] for error in problem["errors"]] == [field]


def test_malformed_lines_are_skipped(run: Run, api: ApiClient) -> None:
    end = run.directory.log.stat().st_size
    with run.directory.log.open("ab") as log:
        log.write(b'not json\n{"type":"metrics"}\n')
    run.directory.append(events.metrics(130, {"train/loss": 0.0}))
    delta = api.get(f"/runs/{run.pk}/metrics", after=end).json()
    assert [event["step"] for event in delta["events"]] == [130]


def test_episodes_are_paged_in_the_order_they_ended(run: Run, api: ApiClient) -> None:
    first = api.get(f"/runs/{run.pk}/episodes", limit=4).json()
    assert [one["return"] for one in first["episodes"]] == [0, 1, 2, 3]
    rest = api.get(f"/runs/{run.pk}/episodes", cursor=first["next_cursor"]).json()
    assert [one["length"] for one in rest["episodes"]] == [9, 10, 11, 12, 13, 14]
    assert rest["next_cursor"] is None


def test_episodes_that_were_started_over_are_not_listed(home: object, api: ApiClient) -> None:
    run = make_run()
    run.directory.append(
        events.attempt(0, 1, "exact"),
        *(events.episode(step, 1.0, 10, 0) for step in (10, 20, 30, 40)),
        events.attempt(20, 2, "exact"),
        *(events.episode(step, 2.0, 10, 0) for step in (30, 40, 50)),
    )
    listed = api.get(f"/runs/{run.pk}/episodes").json()["episodes"]
    returns = [(one["step"], one["return"]) for one in listed]
    assert returns == [(10, 1.0), (20, 1.0), (30, 2.0), (40, 2.0), (50, 2.0)]
    first = api.get(f"/runs/{run.pk}/episodes", limit=3).json()
    # An attempt that begins between two pages takes back what it starts over, and moves nothing.
    run.directory.append(events.attempt(40, 3, "exact"), events.episode(50, 3.0, 10, 0))
    rest = api.get(f"/runs/{run.pk}/episodes", cursor=first["next_cursor"]).json()["episodes"]
    assert [(one["step"], one["return"]) for one in rest] == [(40, 2.0), (50, 3.0)]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("episodes", {}),
        ("metrics", {}),
        ("metrics", {"after": 0}),
        ("metrics", {"superseded": True, "axis": "episodes", "smoothing": 0.5}),
    ],
)
def test_what_is_sent_as_it_lies_is_what_the_schema_says(
    path: str, query: dict[str, Any], run: Run, resumed: Run, api: ApiClient
) -> None:
    schema = api.get("/openapi.json").json()
    answers = schema["paths"]["/api/v1/runs/{run_id}/" + path]["get"]["responses"]
    shape = answers["200"]["content"]["application/json"]["schema"]
    validator = Draft202012Validator({**shape, "components": schema["components"]})
    run.directory.append(events.episode(120, math.nan, 3, 0))
    for one in (run, resumed):
        answer = api.get(f"/runs/{one.pk}/{path}", **query).json()
        assert [error.message for error in validator.iter_errors(answer)] == []


@pytest.mark.parametrize("cursor", ["x", "-1-0", "5", "1-x", "999999999-0", "0-0-0"])
def test_a_refused_episode_cursor_is_named(cursor: str, run: Run, api: ApiClient) -> None:
    problem = assert_problem(api.get(f"/runs/{run.pk}/episodes", cursor=cursor), 422)
    assert problem["errors"][0]["field"] == "cursor"


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(gaps=st.lists(st.integers(0, 3), max_size=40), limit=st.integers(1, 7))
def test_pages_of_episodes_lose_and_repeat_nothing(
    gaps: list[int], limit: int, api: ApiClient
) -> None:
    run = make_run()
    expected = []
    for index, gap in enumerate(gaps):
        noise = [events.metrics(index, {"x": 1.0})] * gap
        run.directory.append(*noise, events.episode(index, index, 1, 0))
        expected.append(index)
    seen: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        found = api.get(f"/runs/{run.pk}/episodes", limit=limit, cursor=cursor).json()
        seen += [one["step"] for one in found["episodes"]]
        cursor = found["next_cursor"]
    assert seen == expected


def test_the_log_is_sent_as_raw_lines(run: Run, api: ApiClient) -> None:
    response = api.get(f"/runs/{run.pk}/log", tail=2)
    assert response["Content-Type"] == "text/plain; charset=utf-8"
    lines = run.directory.log.read_text().splitlines(keepends=True)
    assert response.content.decode() == "".join(lines[-2:])


def test_the_process_output_is_a_log_too(run: Run, api: ApiClient) -> None:
    assert api.get(f"/runs/{run.pk}/log", file="train").content == b""
    run.directory.train_log.write_bytes(b"one\ntwo \xff\n")
    assert api.get(f"/runs/{run.pk}/log", file="train", tail=1).content.decode() == "two \ufffd\n"


@pytest.mark.parametrize(
    ("query", "field"),
    [({"tail": 0}, "tail"), ({"tail": 10_001}, "tail"), ({"file": "x"}, "file")],
)
def test_a_refused_log_parameter_is_named(
    query: dict[str, Any], field: str, run: Run, api: ApiClient
) -> None:
    problem = assert_problem(api.get(f"/runs/{run.pk}/log", **query), 422)
    assert problem["errors"][0]["field"] == field
