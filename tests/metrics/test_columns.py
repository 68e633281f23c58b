"""A log's columns say what the log says: whatever is cut, damaged, replaced, or read at once."""

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.metrics import columns
from apps.metrics.columns import SEGMENT_BYTES, SIDE_FILE, LogColumns
from apps.rundir.log import MAX_LINE_BYTES, read_lines
from tests.metrics import logs as made
from tests.metrics.logs import (
    attempt,
    episode,
    evaluation,
    joined,
    point,
    read_columns,
    read_plainly,
)

LAW = settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
# So small that every read leaves a segment behind.
TINY = 64
ALL_KINDS = joined(
    attempt(1, 0, 10.0),
    point(1, 11.0, a=1.5, b=None),
    episode(2, 12.0),
    b"{torn\n",
    point(3, 13.0, a=3),
    {"type": "checkpoint", "t": 14.0, "step": 3},
    evaluation(3, 15.0),
    attempt(2, 2, 20.0),
    point(3, 21.0, a=4.0, c=-1.0),
    episode(4, 22.0, None),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the logs of many examples, one after the other."""
    return tmp_path_factory.mktemp("run")


def begin(folder: Path, data: bytes) -> Path:
    """Write a log where there was another one, without a side file."""
    (folder / SIDE_FILE).unlink(missing_ok=True)
    (folder / "metrics.jsonl").write_bytes(data)
    return folder / "metrics.jsonl"


def assert_exact(log: Path, reader: LogColumns | None = None) -> LogColumns:
    """Compare what a reader sees, by default a new one, with what the log says."""
    reader = reader or LogColumns(log, TINY)
    assert read_columns(reader) == read_plainly(log.read_bytes())
    return reader


def test_a_log_cut_at_every_byte_is_read_to_its_last_whole_line_and_on(folder: Path) -> None:
    for cut in range(len(ALL_KINDS) + 1):
        log = begin(folder, ALL_KINDS[:cut])
        reader = assert_exact(log)
        with log.open("ab") as file:
            file.write(ALL_KINDS[cut:])
        assert_exact(log, reader)
        assert_exact(log)


@given(made.logs, st.lists(st.floats(0, 1), max_size=3))
@LAW
def test_what_was_read_in_pieces_is_what_the_whole_log_says(
    folder: Path, lines: list[Any], cuts: list[float]
) -> None:
    data = joined(*lines)
    log = begin(folder, b"")
    reader = LogColumns(log, TINY)
    for cut in [*sorted(cuts), 1.0]:
        log.write_bytes(data[: int(len(data) * cut)])
        assert_exact(log, reader)
        assert_exact(log)
    assert_exact(begin(folder, data), LogColumns(log, SEGMENT_BYTES))


@given(st.floats(0, 1, exclude_max=True), st.integers(1, 255), st.booleans())
@LAW
def test_a_damaged_side_file_is_never_believed(
    folder: Path, place: float, change: int, is_cut: bool
) -> None:
    log = begin(folder, ALL_KINDS * 2)
    assert_exact(log)
    side = folder / SIDE_FILE
    data = bytearray(side.read_bytes())
    position = int(len(data) * place)
    data[position] ^= change
    side.write_bytes(data[:position] if is_cut else data)
    assert_exact(log)
    with log.open("ab") as file:
        file.write(ALL_KINDS)
    assert_exact(log)


@pytest.mark.parametrize("found", [b"", b"something else", b"\0" * 4096])
def test_a_file_that_is_none_of_ours_is_replaced(folder: Path, found: bytes) -> None:
    log = begin(folder, ALL_KINDS)
    (folder / SIDE_FILE).write_bytes(found)
    assert_exact(log)
    assert assert_exact(log).parsed_bytes == 0


OTHER = joined(*(point(step, a=float(-step)) for step in range(40)))


def replaced(log: Path) -> None:
    """Put another file of that name there."""
    beside = log.with_name("other")
    beside.write_bytes(OTHER)
    beside.replace(log)


def copied(log: Path) -> None:
    """Bring back an older copy of the directory, side file and all."""
    shutil.copy(log, log.with_name("copy"))
    log.with_name("copy").replace(log)


@pytest.mark.parametrize(
    "change",
    [
        replaced,
        copied,
        lambda log: log.write_bytes(ALL_KINDS[: len(ALL_KINDS) // 2]),  # Shorter.
        lambda log: log.write_bytes(OTHER),  # Longer, and another log in the same file.
        lambda log: log.write_bytes(ALL_KINDS[:-3] + b"7}\n" + ALL_KINDS),  # At its end.
        lambda log: log.unlink(),
        lambda log: log.with_name(SIDE_FILE).unlink(),
        lambda log: log.with_name(SIDE_FILE).write_bytes(b""),
    ],
)
def test_a_log_that_is_another_is_read_anew(folder: Path, change: Any) -> None:
    log = begin(folder, ALL_KINDS)
    follower = assert_exact(log)
    change(log)
    if not log.exists():
        assert read_columns(follower) == ({}, [], 0)
        log.write_bytes(OTHER)
    assert_exact(log, follower)
    assert_exact(log)


def test_where_nothing_may_be_written_everything_is_read(folder: Path) -> None:
    log = begin(folder, ALL_KINDS)
    (folder / SIDE_FILE).mkdir()
    reader = assert_exact(log)
    with log.open("ab") as file:
        file.write(ALL_KINDS)
    assert_exact(log, reader)
    assert reader.parsed_bytes == 2 * len(ALL_KINDS)
    (folder / SIDE_FILE).rmdir()


def test_each_byte_of_a_log_that_is_followed_is_parsed_once(folder: Path) -> None:
    log = begin(folder, b"")
    reader = LogColumns(log, 1000)
    for step in range(300):
        with log.open("ab") as file:
            file.write(joined(point(step, a=1.0), episode(step)))
        seen = reader.view(["a"])
        assert len(seen.points["a"][1]) == step + 1
    assert reader.parsed_bytes == log.stat().st_size
    late = assert_exact(log, LogColumns(log, 1000))
    assert late.parsed_bytes < 1000, "what is in no segment yet"


def test_a_log_is_kept_as_it_grows_and_never_much_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = begin(folder, b"")
    keeper = LogColumns(log, 500)
    for step in range(200):
        with log.open("ab") as file:
            file.write(joined(point(step, a=1.0), episode(step)))
        keeper.keep()
    assert keeper.parsed_bytes > log.stat().st_size - 500
    first_reader = assert_exact(log, LogColumns(log, 500))
    assert first_reader.parsed_bytes < 1000, "what is in no segment yet"
    (folder / SIDE_FILE).unlink()
    monkeypatch.setattr(columns, "CHUNK_BYTES", 200)
    late = LogColumns(log, 100)
    late.keep()
    assert 1600 <= late.parsed_bytes <= 1800
    assert_exact(log, late)
    log.unlink()
    late.keep()


@pytest.mark.parametrize("ahead", [1, 40, 400])
def test_what_another_reader_kept_first_is_taken_over_and_nothing_is_missed(
    folder: Path, ahead: int
) -> None:
    log = begin(folder, joined(*(point(step, a=1.0) for step in range(5))))
    slow, quick = LogColumns(log, 1500), LogColumns(log, 100)
    assert_exact(log, slow)
    assert_exact(log, quick)
    with log.open("ab") as file:
        file.write(joined(*(point(step, a=2.0) for step in range(ahead))))
    assert_exact(log, slow)
    assert_exact(log, quick)
    assert_exact(log, slow)


def test_several_readers_at_once_see_the_same(folder: Path) -> None:
    log = begin(folder, b"")
    problems: list[AssertionError] = []

    def read_along() -> None:
        reader = LogColumns(log, 500)
        try:
            for _ in range(60):
                whole = log.read_bytes()
                found, _, _ = read_columns(reader)
                told, _, _ = read_plainly(whole)
                for key, points in told.items():
                    assert found[key][: len(points)] == points
        except AssertionError as error:
            problems.append(error)

    readers = [threading.Thread(target=read_along) for _ in range(3)]
    for reader in readers:
        reader.start()
    for step in range(200):
        with log.open("ab") as file:
            file.write(joined(point(step, a=float(step)), episode(step)))
    for reader in readers:
        reader.join()
    assert problems == []
    assert_exact(log)


def test_ten_thousand_names_are_read(folder: Path) -> None:
    named = {f"metric/{number}": float(number) for number in range(10_000)}
    log = begin(folder, joined(*(point(step, **named) for step in range(3)), point(9, a=1.0)))
    assert_exact(log)
    seen = assert_exact(log).view(["metric/77"])
    assert seen.points["metric/77"][1].tolist() == [77.0] * 3


def test_a_line_of_a_size_that_no_event_has_is_skipped_and_counted(folder: Path) -> None:
    giant = b'{"type":"metrics","t":1,"step":1,"values":{"a":1},"x":"%b"}\n'
    log = begin(folder, joined(point(1, a=1.0), giant % (b"x" * MAX_LINE_BYTES)))
    reader = LogColumns(log)
    with log.open("ab") as file:
        file.write(joined(point(2, a=2.0)))
    seen = reader.view(["a"])
    assert (seen.points["a"][1].tolist(), seen.malformed) == ([1.0, 2.0], 1)
    assert seen.cursor == log.stat().st_size
    lines, cursor = read_lines(log, len(joined(point(1, a=1.0))))
    assert (lines, cursor) == ([b""], len(log.read_bytes()) - len(joined(point(2, a=2.0))))


def test_what_a_process_keeps_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columns, "CACHE_BYTES", 200_000)
    monkeypatch.setattr(columns, "_cache", type(columns._cache)())
    for number in range(20):
        log = begin(tmp_path, joined(*(point(step, a=1.0) for step in range(1000))))
        log = log.rename(tmp_path / f"{number}.jsonl")
        columns.view(log)
        assert sum(one.nbytes for one in columns._cache.values()) <= 200_000
    assert 0 < len(columns._cache) < 20
    assert log in columns._cache, "the latest stays"


def test_what_was_handed_out_stays_as_it_was(folder: Path) -> None:
    log = begin(folder, joined(point(1, a=1.0)))
    reader = LogColumns(log)
    before = reader.view(["a"])
    with log.open("ab") as file:
        file.write(joined(*(point(step, a=2.0) for step in range(2, 99))))
    after = reader.view(["a"])
    assert (len(before.steps), len(after.steps)) == (1, 98)
    with pytest.raises(ValueError, match="read-only"):
        after.points["a"][1][0] = np.nan
