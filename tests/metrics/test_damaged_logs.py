"""Logs that a power cut, a stranger or an odd script left: what is whole in them is read."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.metrics.received import Intake
from apps.metrics.store import read_all, series, tail
from apps.rundir import events
from apps.rundir.log import MAX_LINE_BYTES, LogWriter
from tests.metrics.logs import point, write

LAW = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])

steps = st.integers(0, 2**53)
# What fills blocks of a file whose data a power cut took, and what is no event at all.
nuls = st.integers(1, 70_000).map(bytes)
junk = st.binary(max_size=40).map(lambda data: b"\xff" + data.replace(b"\n", b""))


def points_of(log: Path) -> list[tuple[float, float]]:
    """Return the steps and values of metric `a`."""
    found = series(log, ["a"], max_points=20_000).series.get("a")
    return list(zip(found.steps.tolist(), found.values.tolist(), strict=True)) if found else []


@given(st.lists(st.one_of(steps, steps, nuls, junk), max_size=12), nuls)
@LAW
def test_points_between_damage_are_read_in_order_of_their_steps(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[int | bytes], torn: bytes
) -> None:
    log = tmp_path_factory.mktemp("run") / "metrics.jsonl"
    told = [(piece, float(nth)) for nth, piece in enumerate(pieces) if isinstance(piece, int)]
    lines: list[Any] = [
        point(piece, a=float(nth)) if isinstance(piece, int) else piece + b"\n"
        for nth, piece in enumerate(pieces)
    ]
    whole = write(log, *lines)
    write(log, *lines, torn)
    found = series(log)
    assert found.cursor == whole
    assert found.malformed == len(pieces) - len(told)
    assert points_of(log) == sorted(told, key=lambda one: one[0])
    intake = Intake()
    intake.catch_up(log)
    assert intake.summary.step == max((step for step, _ in told), default=0)
    # Whoever writes next cuts the torn end, and nothing else.
    with LogWriter(log) as writer:
        writer.write([events.metrics(7, {"a": -1.0})])
    assert points_of(log) == sorted([*told, (7, -1.0)], key=lambda one: one[0])


def test_a_gigantic_line_costs_itself_alone(log: Path) -> None:
    gigantic = b'{"type":"metrics","t":1,"step":2,"values":{"a":%b}}\n' % (b"1" * MAX_LINE_BYTES)
    write(log, point(1, a=1.0), gigantic, point(3, a=3.0))
    assert points_of(log) == [(1, 1.0), (3, 3.0)]
    assert [event["step"] for piece in read_all(log) for event in piece.events] == [1, 3]
    assert tail(log, 0, 10).events[0]["step"] == 1


@pytest.mark.parametrize("keys_a_line", [1, 10_000])
def test_ten_thousand_metrics_are_ten_thousand_curves(log: Path, keys_a_line: int) -> None:
    names = [f"names/{number:05}" for number in range(10_000)]
    write(
        log,
        *(
            point(start, **dict.fromkeys(names[start : start + keys_a_line], float(start)))
            for start in range(0, len(names), keys_a_line)
        ),
    )
    found = series(log)
    assert found.keys == names
    assert all(len(curve.steps) == 1 for curve in found.series.values())
    assert series(log, ["names/09999"]).series["names/09999"].values.tolist() == [
        10_000 - keys_a_line
    ]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Where a log may be."""
    return tmp_path / "metrics.jsonl"
