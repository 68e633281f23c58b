"""Reading logs: series, tails and last lines of logs written by hand."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.analysis.axes import Axis
from apps.analysis.curves import smooth, windowed_mean
from apps.metrics import store
from apps.metrics.store import Smoothing, last_lines, latest, moments, read_all, series, tail
from apps.rundir import events
from apps.rundir.directory import RunDirectory
from apps.rundir.log import LogWriter
from tests.metrics.logs import attempt, episode, evaluation, point, write

LAW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log may be."""
    return tmp_path / "metrics.jsonl"


def points_of(log: Path, key: str = "a", **options: Any) -> list[tuple[float, float]]:
    """Return the steps and values of one curve."""
    one = series(log, **options).series.get(key)
    return [] if one is None else list(zip(one.steps.tolist(), one.values.tolist(), strict=True))


# Series.


def test_a_curve_has_the_steps_values_and_times_of_its_points(log: Path) -> None:
    size = write(log, point(1, 10.5, a=1.0), point(2, 11.5, a=3, b=9.0))
    found = series(log)
    assert found.keys == ["a", "b"]
    assert found.cursor == size
    assert found.malformed == 0
    curve = found.series["a"]
    assert (curve.key, curve.n_raw, curve.is_downsampled) == ("a", 2, False)
    assert curve.steps.tolist() == [1, 2]
    assert curve.values.tolist() == [1, 3]
    assert curve.times.tolist() == [10.5, 11.5]
    assert curve.steps.dtype == curve.values.dtype == curve.times.dtype == np.float64


def test_nan_and_infinity_come_back_as_they_were_logged(log: Path) -> None:
    line = point(1, a=None, b=None, c=None, d=None)
    line["special"] = {"a": "nan", "b": "inf", "c": "-inf"}
    write(log, line)
    values = {key: one.values.tolist() for key, one in series(log).series.items()}
    assert math.isnan(values["a"][0])
    assert values["b"] == [math.inf]
    assert values["c"] == [-math.inf]
    assert math.isnan(values["d"][0])


def test_what_the_writer_wrote_is_what_the_reader_reads(log: Path) -> None:
    with LogWriter(log) as writer:
        writer.write([events.metrics(5, {"a": math.inf, "b": np.float32(0.5)})])
        writer.write([events.episode(6, -math.inf, 30, 0), events.episode(7, 2.0, 31, 0)])
    found = series(log).series
    assert found["a"].values.tolist() == [math.inf]
    assert found["b"].values.tolist() == [0.5]
    assert found["episode/return"].values.tolist() == [-math.inf, 2.0]
    assert found["episode/length"].values.tolist() == [30, 31]


def test_episodes_and_evaluations_are_curves_too(log: Path) -> None:
    write(
        log,
        {"type": "episode", "t": 1.0, "step": 9, "return": 7.5, "length": 9, "env": 0},
        {"type": "evaluation", "t": 2.0, "step": 10, "return_mean": 42.0, "name": "eval_1"},
        {"type": "evaluation", "t": 3.0, "step": 20, "name": "eval_2"},
        {"type": "status", "t": 4.0, "step": 20, "status": "completed"},
    )
    assert series(log).keys == ["episode/length", "episode/return", "eval/mean_reward"]
    assert points_of(log, "episode/return") == [(9, 7.5)]
    assert points_of(log, "episode/length") == [(9, 9)]
    assert points_of(log, "eval/mean_reward") == [(10, 42.0)]


def test_malformed_lines_are_counted_and_skipped(log: Path) -> None:
    broken = [
        b"\n",
        b"not json\n",
        b"\xff\xfe\n",
        b"[]\n",
        b'{"type":"metrics"}\n',
        b'{"type":[],"t":1,"step":1}\n',
        b'{"type":"attempt","t":1,"step":1}\n',
        b'{"type":"attempt","t":1,"step":1,"from_step":null}\n',
        b'{"type":"metrics","t":1,"step":1,"values":3}\n',
        b'{"type":"episode","t":1,"step":1,"return":"x","length":1}\n',
    ]
    size = write(log, point(1, a=1.0), *broken, point(2, a=2.0))
    found = series(log)
    assert found.malformed == len(broken)
    assert found.cursor == size
    assert points_of(log) == [(1, 1.0), (2, 2.0)]


def test_a_value_that_is_no_number_leaves_the_other_values_of_its_line(log: Path) -> None:
    write(log, point(1, a="high", b=2.0, c=[1], d={}))
    found = series(log)
    assert list(found.series) == ["b"]
    assert found.malformed == 0


def test_a_torn_last_line_is_left_out_until_it_is_whole(log: Path) -> None:
    whole = write(log, point(1, a=1.0))
    line = orjson.dumps(point(2, a=2.0)) + b"\n"
    for cut in range(len(line)):
        write(log, point(1, a=1.0), line[:cut])
        assert points_of(log) == [(1, 1.0)]
        assert series(log).cursor == whole
        assert series(log).malformed == 0
    write(log, point(1, a=1.0), line)
    assert points_of(log) == [(1, 1.0), (2, 2.0)]


def test_points_that_a_later_attempt_started_over_are_superseded(log: Path) -> None:
    write(
        log,
        attempt(1, 0),
        *(point(step, a=float(step)) for step in (1, 2, 3, 4)),
        attempt(2, 2),
        point(3, a=30.0),
        point(4, a=40.0),
        point(5, a=50.0),
    )
    assert points_of(log) == [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0), (5, 50.0)]


def test_each_attempt_supersedes_whatever_came_before_it(log: Path) -> None:
    write(
        log,
        point(1, a=1.0),
        point(5, a=5.0),
        attempt(2, 4),
        point(5, a=50.0),
        point(8, a=80.0),
        attempt(3, 6),
        point(8, a=800.0),
        attempt(4, 0),
        point(2, a=2000.0),
    )
    assert points_of(log) == [(2, 2000.0)]


def test_an_attempt_supersedes_every_curve_and_forgets_no_key(log: Path) -> None:
    write(
        log,
        point(5, a=5.0),
        point(9, b=9.0),
        {"type": "episode", "t": 0.0, "step": 9, "return": 1.0, "length": 9, "env": 0},
        attempt(2, 5),
    )
    found = series(log)
    assert list(found.series) == ["a"]
    assert found.keys == ["a", "b", "episode/length", "episode/return"]


def test_a_point_logged_late_takes_its_place_by_step(log: Path) -> None:
    write(log, point(1, a=1.0), point(9, a=9.0), point(4, a=4.0), point(9, a=99.0))
    assert points_of(log) == [(1, 1.0), (4, 4.0), (9, 9.0), (9, 99.0)]


def test_points_of_one_step_stay_in_the_order_in_which_they_were_logged(log: Path) -> None:
    values = [float((i * 37) % 101) for i in range(200)]
    write(log, *(point(7 - i % 2, a=value) for i, value in enumerate(values)))
    assert points_of(log) == [(6, v) for v in values[1::2]] + [(7, v) for v in values[::2]]


def test_only_the_wanted_keys_are_returned_and_all_are_named(log: Path) -> None:
    write(log, point(1, a=1.0, b=2.0, c=3.0))
    found = series(log, keys=["c", "a", "missing"])
    assert list(found.series) == ["c", "a"]
    assert found.keys == ["a", "b", "c"]
    assert series(log, keys=[]).series == {}


@pytest.mark.parametrize(
    ("window", "steps"),
    [
        ({}, [0, 5, 10, 15]),
        ({"from_step": 5}, [5, 10, 15]),
        ({"to_step": 10}, [0, 5, 10]),
        ({"from_step": 6, "to_step": 14}, [10]),
        ({"to_step": 0}, [0]),
        ({"from_step": 16}, []),
        ({"from_step": 10, "to_step": 5}, []),
    ],
)
def test_a_window_of_steps_includes_both_ends(
    log: Path, window: dict[str, int], steps: list[int]
) -> None:
    write(log, *(point(step, a=1.0) for step in (0, 5, 10, 15)))
    assert [step for step, _ in points_of(log, **window)] == steps


def test_a_long_curve_is_thinned_and_says_so(log: Path) -> None:
    values = [math.sin(step / 50) for step in range(2000)]
    values[777], values[1234] = 50.0, -50.0
    write(log, *(point(step, t=step / 10, a=value) for step, value in enumerate(values)))
    curve = series(log, max_points=100).series["a"]
    assert curve.n_raw == 2000
    assert curve.is_downsampled
    assert len(curve.steps) <= 110
    assert (curve.steps[0], curve.steps[-1]) == (0, 1999)
    assert curve.steps[np.argmax(curve.values)] == 777
    assert curve.steps[np.argmin(curve.values)] == 1234
    assert curve.times.tolist() == pytest.approx([step / 10 for step in curve.steps])


def test_a_window_of_a_long_curve_shows_more_of_it(log: Path) -> None:
    write(log, *(point(step, a=float(step % 13)) for step in range(2000)))
    window = series(log, max_points=100, from_step=500, to_step=560).series["a"]
    assert window.n_raw == 61
    assert not window.is_downsampled
    assert window.steps.tolist() == list(range(500, 561))


def test_a_curve_exactly_as_long_as_was_asked_for_is_not_thinned(log: Path) -> None:
    write(log, *(point(step, a=1.0) for step in range(100)))
    assert not series(log, max_points=100).series["a"].is_downsampled
    assert series(log, max_points=99).series["a"].is_downsampled


@pytest.mark.parametrize("content", [None, b"", b"torn"])
def test_a_log_without_a_line_has_no_curve(log: Path, content: bytes | None) -> None:
    if content is not None:
        log.write_bytes(content)
    found = series(log)
    assert (found.series, found.keys, found.cursor, found.malformed) == ({}, [], 0, 0)
    assert series(log, keys=["a"]).series == {}
    assert latest(log) == {}
    assert list(read_all(log)) == []


Attempts = list[tuple[int, list[int]]]


@given(
    st.lists(
        st.tuples(st.integers(0, 30), st.lists(st.integers(1, 8), max_size=8)),
        min_size=1,
        max_size=4,
    )
)
@LAW
def test_what_is_shown_never_overlaps_however_often_a_run_was_resumed(
    tmp_path_factory: pytest.TempPathFactory, attempts: Attempts
) -> None:
    log = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    expected: dict[int, float] = {}
    lines: list[dict[str, Any]] = []
    for number, (from_step, gaps) in enumerate(attempts):
        expected = {step: value for step, value in expected.items() if step <= from_step}
        lines.append(attempt(number, from_step))
        step = from_step
        for gap in gaps:
            step += gap
            expected[step] = float(number)
            lines.append(point(step, a=float(number)))
    write(log, *lines)
    assert points_of(log) == sorted(expected.items())


any_step, any_time = st.integers(0, 2**53), st.floats(-1e12, 1e12)
wild = st.builds(
    lambda step, t, value: point(step, t, a=value), any_step, any_time, st.floats(-9, 9)
) | st.builds(attempt, st.integers(1, 9), any_step, any_time)


@given(st.lists(wild, max_size=20), st.sampled_from(["step", "time", "episodes"]))
@LAW
def test_a_curve_goes_forward_whatever_steps_and_clocks_did(
    tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]], axis: Axis
) -> None:
    log = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    write(log, *lines)
    found = series(log, axis=axis, with_superseded=True).series.get("a")
    n_points = sum(line["type"] == "metrics" for line in lines)
    if found is None:
        assert n_points == 0 or axis == "episodes"
        return
    assert found.n_raw + sum(one.n_raw for _, one in found.superseded) == n_points
    for xs in (found.steps, found.xs):
        assert np.isfinite(xs).all()
        assert (np.diff(xs) >= 0).all()


# Latest.


def test_the_latest_values_are_those_of_the_last_steps(log: Path) -> None:
    write(log, point(1, a=1.0, b=5.0), point(3, a=3.0), point(2, a=2.0), point(3, a=4.0))
    assert latest(log) == {"a": 4.0, "b": 5.0}


def test_the_latest_value_may_be_nan(log: Path) -> None:
    write(log, point(1, a=1.0), point(2, a=None))
    assert math.isnan(latest(log)["a"])


def test_the_latest_value_of_a_long_log_is_its_last(log: Path) -> None:
    write(log, *(point(step, a=float(-step)) for step in range(4000)))
    assert latest(log) == {"a": -3999.0}


# Axes, smoothing, what was superseded.


def resumed(log: Path) -> None:
    """Write a log of two attempts: to step 30, then on from 20 after a pause of 100 s."""
    write(
        log,
        attempt(1, 0, 100.0),
        point(10, 101.0, a=1.0, train__n_updates=8.0),
        episode(20, 102.0),
        point(20, 102.0, a=2.0),
        point(30, 103.0, a=3.0, train__n_updates=16.0),
        attempt(2, 20, 203.0),
        episode(28, 204.0),
        point(30, 205.0, a=30.0, train__n_updates=16.0),
        evaluation(20, 999.0),
    )


@pytest.mark.parametrize(
    ("axis", "xs", "evaluation_x"),
    [
        ("step", [10, 20, 30], 20),
        ("time", [1, 2, 4], 2),
        ("episodes", [0, 1, 2], 1),
        ("updates", [8, 8, 16], 8),
    ],
)
def test_points_are_placed_by_the_axis(
    log: Path, axis: Axis, xs: list[float], evaluation_x: float
) -> None:
    resumed(log)
    found = series(log, axis=axis).series
    assert found["a"].xs.tolist() == xs
    assert found["a"].steps.tolist() == [10, 20, 30]
    assert found["a"].values.tolist() == [1, 2, 30]
    assert found["eval/mean_reward"].xs.tolist() == [evaluation_x]


def test_where_a_later_attempt_goes_on_is_told(log: Path) -> None:
    resumed(log)
    (one,) = series(log, axis="time").resumptions
    assert (one.attempt, one.step, one.x, one.pause_s) == (2, 20, 2.0, 100.0)
    (one,) = series(log).resumptions
    assert one.x == 20


def test_no_curve_goes_along_updates_that_nobody_counted(log: Path) -> None:
    write(log, point(1, a=1.0))
    found = series(log, axis="updates")
    assert (found.series, found.keys) == ({}, ["a"])


def test_what_was_superseded_comes_when_it_is_asked_for(log: Path) -> None:
    resumed(log)
    found = series(log, axis="time", with_superseded=True).series["a"]
    ((number, lost),) = found.superseded
    assert (number, lost.steps.tolist(), lost.values.tolist()) == (1, [30], [3.0])
    assert lost.xs.tolist() == [3.0], "its own time"
    assert series(log).series["a"].superseded == []


def test_all_points_are_smoothed_before_any_is_left_out(log: Path) -> None:
    values = np.random.default_rng(2).normal(size=2000)
    write(log, *(point(step, a=value) for step, value in enumerate(values.tolist())))
    for smoothing, whole in (
        (Smoothing(weight=0.9), smooth(values, 0.9)),
        (Smoothing(window=50), windowed_mean(np.arange(2000.0), values, 50)),
    ):
        curve = series(log, max_points=100, from_step=500, smoothing=smoothing).series["a"]
        assert curve.is_downsampled
        assert curve.smoothed is not None
        assert curve.smoothed.tolist() == whole[curve.steps.astype(int)].tolist()
    assert series(log).series["a"].smoothed is None


def test_axes_go_on_across_the_runs_that_came_before(tmp_path: Path) -> None:
    parent, child = tmp_path / "parent.jsonl", tmp_path / "child.jsonl"
    resumed(parent)
    write(child, attempt(1, 20, 5000.0), episode(21, 5001.0), point(22, 5002.0, a=7.0))
    found = series(child, ["a"], ancestors=[(parent, 20)], axis="time", with_superseded=True)
    assert found.series["a"].steps.tolist() == [10, 20, 22]
    assert found.series["a"].xs.tolist() == [1, 2, 4]
    assert found.series["a"].superseded == [], "what the parent did later is not the child's"
    assert [(one.step, one.x) for one in found.resumptions] == [(20, 2.0)]
    by_episodes = series(child, ["a"], ancestors=[(parent, 20)], axis="episodes")
    assert by_episodes.series["a"].xs.tolist() == [0, 1, 2]


def test_moments_are_told_without_the_points_between_them(log: Path) -> None:
    resumed(log)
    assert [(one["type"], one["step"]) for one in moments(log)] == [
        ("attempt", 0),
        ("attempt", 20),
        ("evaluation", 20),
    ]
    assert list(moments(log.with_name("missing"))) == []


# Tails.


def test_a_tail_goes_on_from_its_cursor_without_gap_or_repeat(log: Path) -> None:
    first = write(log, point(1, a=1.0), b"broken\n", point(2, a=2.0))
    found = tail(log, 0)
    assert [event["step"] for event in found.events] == [1, 2]
    assert (found.cursor, found.malformed) == (first, 1)
    assert tail(log, first).events == []
    assert tail(log, first).cursor == first
    with log.open("ab") as file:
        file.write(orjson.dumps(point(3, a=3.0)) + b"\n" + b'{"torn')
    found = tail(log, first)
    assert [event["step"] for event in found.events] == [3]
    assert tail(log, found.cursor).events == []


def test_a_tail_of_a_large_log_comes_in_pieces_of_about_the_asked_size(log: Path) -> None:
    size = write(log, *(point(step, a=1.0) for step in range(1000)))
    found = tail(log, 0, max_bytes=2000)
    assert 0 < found.cursor <= 2000
    assert 20 < len(found.events) < 100
    everything = [event["step"] for piece in read_all(log) for event in piece.events]
    assert everything == list(range(1000))
    assert [piece.cursor for piece in read_all(log)][-1] == size


@given(
    st.lists(st.sampled_from(["point", "broken", "long", "blank"]), max_size=12),
    st.integers(1, 300),
)
@LAW
def test_tailing_in_pieces_equals_reading_everything(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str], max_bytes: int
) -> None:
    log = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    made = {
        "broken": b"{broken\n",
        "blank": b"\n",
        "long": orjson.dumps(point(0, **{"x" * 500: 1.0})) + b"\n",
    }
    size = write(log, *(made.get(kind) or point(i, a=1.0) for i, kind in enumerate(kinds)))
    cursor, malformed, steps = 0, 0, []
    while cursor < size:
        piece = tail(log, cursor, max_bytes)
        assert piece.cursor > cursor
        cursor, malformed = piece.cursor, malformed + piece.malformed
        steps += [event["step"] for event in piece.events]
    assert cursor == size
    assert malformed == sum(kind in {"broken", "blank"} for kind in kinds)
    assert len(steps) == len(kinds) - malformed


# Last lines.


@pytest.mark.parametrize(
    ("content", "count", "lines"),
    [
        (b"", 5, []),
        (b"one\ntwo\nthree\n", 2, ["two", "three"]),
        (b"one\ntwo\nthree", 2, ["two", "three"]),
        (b"one\ntwo\n", 9, ["one", "two"]),
        (b"one\ntwo\n", 0, []),
        (b"one\ntwo\n", -1, []),
        (b"one\n\n\n", 2, ["", ""]),
        (b"\n", 1, [""]),
        (b"caf\xc3\xa9\n\xff\xfe\n", 2, ["café", "��"]),
    ],
)
def test_the_last_lines_of_a_text(
    tmp_path: Path, content: bytes, count: int, lines: list[str]
) -> None:
    path = tmp_path / "train.log"
    path.write_bytes(content)
    assert last_lines(path, count) == lines


def test_the_last_lines_of_a_missing_file_are_none(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "missing", 5) == []


def test_a_line_of_json_is_not_split_at_characters_that_json_may_hold(log: Path) -> None:
    reason = "a\u2028b\u2029c\x85d\x0ce"
    write(log, {"type": "status", "t": 1.0, "step": 1, "status": "failed", "reason": reason})
    (line,) = last_lines(log, 5)
    assert orjson.loads(line)["reason"] == reason


def test_the_first_of_the_last_lines_is_whole_although_the_read_began_within_one(
    tmp_path: Path,
) -> None:
    path = tmp_path / "train.log"
    path.write_text("".join(f"line {number:04d}\n" for number in range(1000)))
    lines = last_lines(path, 50, max_bytes=105)
    assert lines == [f"line {number:04d}" for number in range(990, 1000)]


def test_one_line_longer_than_the_read_is_shown_from_its_end(tmp_path: Path) -> None:
    path = tmp_path / "train.log"
    path.write_text("x" * 100 + "end")
    assert last_lines(path, 5, max_bytes=10) == ["x" * 7 + "end"]


def test_curves_are_stitched_across_the_runs_that_came_before(tmp_path: Path) -> None:
    first, second, third = (RunDirectory(tmp_path / name) for name in "abc")
    for directory, steps in ((first, (10, 20, 30)), (second, (25, 40)), (third, (45,))):
        directory.path.mkdir()
        directory.append(*(events.metrics(step, {"x": float(step)}) for step in steps))
    ancestors = [(first.log, 20), (second.log, 40)]
    found = store.series(third.log, ancestors=ancestors)
    assert found.series["x"].steps.tolist() == [10, 20, 25, 40, 45]
    assert found.cursor == third.log.stat().st_size


def test_superseded_events_are_left_out_wherever_the_reading_stops(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path)
    directory.append(*(events.episode(step, 1.0, 1, 0) for step in (10, 20, 30)))
    middle = directory.log.stat().st_size
    directory.append(events.attempt(15, 2, "exact"), events.episode(18, 1.0, 1, 0))
    whole = [event["step"] for event in store.visible_events(directory.log)]
    assert whole == [10, 15, 18]
    before = [event["step"] for event in store.visible_events(directory.log, middle)]
    assert before == [10, 20, 30]
