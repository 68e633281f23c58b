"""One tail per run: cursors, sharing, ends."""

import asyncio
import random
import threading
from contextlib import aclosing
from itertools import pairwise
from pathlib import Path

import orjson
import pytest
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.experiments.models import Evaluation, Run
from apps.experiments.statuses import RunStatus
from apps.live import tail
from apps.rundir.directory import RunDirectory
from tests.live.viewers import finish, metric


async def read_to_end(run: Run, cursor: int) -> list[tail.Piece]:
    """Follow a log without a pause until its end."""
    async with (
        tail.watching(run.pk, run.directory.log) as watched,
        aclosing(tail.follow(watched, cursor, min_gap_s=0)) as pieces,
    ):
        return [piece async for piece in pieces if piece is not None]


def steps(pieces: list[tail.Piece]) -> list[int]:
    """Return the steps of the events of pieces, the end left out."""
    return [
        event["step"]
        for piece in pieces
        for event in orjson.loads(piece.events)
        if event["type"] != "end"
    ]


async def test_a_finished_run_is_read_to_its_end(run: Run) -> None:
    await finish(run)
    pieces = await read_to_end(run, 0)
    assert steps(pieces) == [*range(10)]
    assert pieces[-1].is_end
    assert orjson.loads(pieces[-1].events) == [{"type": "end", "status": "completed"}]
    assert pieces[-1].cursor == run.directory.log.stat().st_size


@pytest.mark.parametrize("seed", range(3))
async def test_viewers_that_come_back_at_random_lose_and_repeat_nothing(
    run: Run, seed: int
) -> None:
    generator = random.Random(seed)
    count = 3000

    def write() -> None:
        for step in range(10, count):
            run.directory.append(metric(step))

    async def view() -> list[int]:
        cursor, seen = 0, list[int]()
        while len(seen) < count:
            leave_after = generator.randint(1, 5)
            async with (
                tail.watching(run.pk, run.directory.log) as watched,
                aclosing(tail.follow(watched, cursor, min_gap_s=0)) as pieces,
            ):
                async for piece in pieces:
                    if piece is not None:
                        cursor = piece.cursor
                        seen += steps([piece])
                    leave_after -= 1
                    if leave_after == 0 or len(seen) >= count:
                        break
        return seen

    writer = threading.Thread(target=write)
    writer.start()
    views = await asyncio.gather(view(), view(), view())
    writer.join()
    assert views == [[*range(count)]] * 3


async def test_any_cursor_within_the_log_goes_on_at_a_whole_line(run: Run) -> None:
    await finish(run)
    log = run.directory.log
    content = log.read_bytes()
    for cursor in range(len(content) + 1):
        piece = tail._read_piece(log, cursor, len(content)) if cursor < len(content) else None
        # A cursor inside a line skips the rest of that line.
        expected = [
            orjson.loads(line)["step"]
            for line in content[cursor:].splitlines()
            if line.startswith(b'{"type"')
        ]
        assert (steps([piece]) if piece and piece.events else []) == expected


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(0, 40_000), max_size=12),
    noise=st.lists(st.binary(max_size=20).filter(lambda line: b"\n" not in line), max_size=5),
)
def test_pieces_are_small_and_hold_every_event_once(
    lengths: list[int], noise: list[bytes], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    log.unlink(missing_ok=True)
    directory = RunDirectory(tmp_path)
    directory.log = log
    for step, length in enumerate(lengths):
        if noise:
            with log.open("ab") as file:
                file.write(noise[step % len(noise)] + b"\n")
        event = metric(step)
        directory.append({**event, "note": "x" * length})
    size = log.stat().st_size if log.exists() else 0
    cursor, seen = 0, list[int]()
    while cursor < size:
        piece = tail._read_piece(log, cursor, size)
        assert piece.cursor > cursor
        assert len(piece.message) <= 64_000
        seen += steps([piece]) if piece.events else []
        cursor = piece.cursor
    assert seen == [*range(len(lengths))]


async def test_one_longer_event_travels_alone_and_whole(run: Run) -> None:
    long = {**metric(10), "note": "x" * 100_000}
    run.directory.append(long, metric(11))
    await finish(run)
    pieces = await read_to_end(run, 0)
    assert steps(pieces) == [*range(12)]


async def test_many_viewers_share_one_tail_and_one_read(run: Run) -> None:
    async def first_piece() -> tail.Piece:
        async with (
            tail.watching(run.pk, run.directory.log) as watched,
            aclosing(tail.follow(watched, 0)) as pieces,
        ):
            assert len(tail._tails) == 1
            async for piece in pieces:
                assert piece is not None
                reads.add(watched.reads)
                await everybody.wait()
                return piece
        raise AssertionError

    reads: set[int] = set()
    everybody = asyncio.Barrier(50)
    pieces = await asyncio.gather(*[first_piece() for _ in range(50)])
    assert len({id(piece) for piece in pieces}) == 1
    assert max(reads) == 1
    assert not tail._tails


async def test_viewers_that_are_far_behind_share_a_read_though_the_log_grows(run: Run) -> None:
    run.directory.append(*[metric(step) for step in range(10, 2000)])
    async with tail.watching(run.pk, run.directory.log) as watched:
        first = await watched.piece_after(0)
        run.directory.append(metric(2000))
        await watched.wait_for_news(watched.state, 5)
        assert await watched.piece_after(0) is first
        assert watched.reads == 1


async def test_a_long_line_is_sent_once_it_is_whole(run: Run) -> None:
    line = orjson.dumps({**metric(10), "note": "x" * 100_000}) + b"\n"
    log = run.directory.log
    start = log.stat().st_size
    with log.open("ab", buffering=0) as file:
        file.write(line[:-9])
        async with tail.watching(run.pk, log) as watched:
            assert await watched.piece_after(start) is None
            file.write(line[-9:])
            await watched.wait_for_news(watched.state, 5)
            piece = await watched.piece_after(start)
    assert piece is not None
    assert steps([piece]) == [10]


async def test_nothing_is_polled_without_viewers(run: Run) -> None:
    async with tail.watching(run.pk, run.directory.log) as watched:
        polling = watched._polling
        assert not polling.done()
    await asyncio.wait({polling}, timeout=5)
    assert polling.cancelled()


async def test_what_is_written_while_a_viewer_is_busy_comes_in_one_piece(run: Run) -> None:
    async with (
        tail.watching(run.pk, run.directory.log) as watched,
        aclosing(tail.follow(watched, 0)) as pieces,
    ):
        first = await anext(pieces)
        assert first is not None
        for step in range(10, 200):
            run.directory.append(metric(step))
        await watched.wait_for_news(watched.state, 5)
        second = await anext(pieces)
        assert second is not None
        rest = [second]
        while steps([first, *rest])[-1] < 199:
            rest.append(await anext(pieces))  # type: ignore[arg-type]
    assert steps([first, *rest]) == [*range(200)]
    assert len(rest) <= 2


async def test_a_viewer_gets_at_most_one_piece_a_gap(run: Run) -> None:
    loop = asyncio.get_running_loop()
    taken_at: list[float] = []
    async with (
        tail.watching(run.pk, run.directory.log) as watched,
        aclosing(tail.follow(watched, 0)) as pieces,
    ):
        for step in range(10, 15):
            piece = await anext(pieces)
            taken_at.append(loop.time())
            assert piece is not None
            run.directory.append(metric(step))
    gaps = [later - earlier for earlier, later in pairwise(taken_at)]
    # Time may only make a gap longer, whatever the machine is doing.
    assert all(gap >= tail.MIN_GAP_S - 0.02 for gap in gaps)


async def test_a_torn_last_line_is_not_sent_until_it_is_whole(run: Run) -> None:
    await finish(run)
    with run.directory.log.open("ab") as log:
        log.write(b'{"type":"metrics","t":1,"st')
    pieces = await read_to_end(run, 0)
    assert steps(pieces) == [*range(10)]
    assert pieces[-1].is_end


async def test_silence_yields_none_for_a_keep_alive(run: Run) -> None:
    async with (
        tail.watching(run.pk, run.directory.log) as watched,
        aclosing(tail.follow(watched, watched.size, idle_s=0.01)) as pieces,
    ):
        assert await anext(pieces) is None


async def test_a_run_that_is_deleted_ends_its_streams(run: Run) -> None:
    async with (
        tail.watching(run.pk, run.directory.log) as watched,
        aclosing(tail.follow(watched, 0, min_gap_s=0)) as pieces,
    ):
        await anext(pieces)
        run.directory.path.rename(run.directory.path.with_name("gone"))
        last = await anext(pieces)
        assert last is not None
        assert last.is_end
        assert orjson.loads(last.events) == [{"type": "end", "status": "deleted"}]


# --- when a run is over


@pytest.mark.parametrize("status", ["completed", "failed", "stopped", "lost"])
def test_a_final_run_is_over_once_its_last_lines_are_in(status: str, run: Run) -> None:
    stopped = Run.objects.filter(pk=run.pk)
    stopped.update(status=status, finished_at=timezone.now())
    assert tail.end_of(run.pk) is None
    stopped.update(finished_at=timezone.now() - tail.SETTLE_TIME)
    assert tail.end_of(run.pk) == status


@pytest.mark.parametrize("status", [RunStatus.DRAFT, RunStatus.QUEUED, RunStatus.RUNNING])
def test_an_active_run_is_not_over(status: str, run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(status=status)
    assert tail.end_of(run.pk) is None


def test_a_run_with_an_evaluation_under_way_is_not_over(run: Run) -> None:
    Run.objects.filter(pk=run.pk).update(status="completed")
    evaluation = Evaluation.objects.create(run=run, step=1, seed=1, status="running")
    assert tail.end_of(run.pk) is None
    Evaluation.objects.filter(pk=evaluation.pk).update(status="completed")
    assert tail.end_of(run.pk) == "completed"


def test_a_run_without_a_row_is_deleted(transactional_db: None) -> None:
    assert tail.end_of("nothing") == tail.DELETED


# --- cursors


@pytest.mark.parametrize("text", ["-1", "x", "", "1.0", "+1", "9" * 30, "\u0661", " 1", "1e3"])
def test_what_is_no_offset_is_refused(text: str, tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="from 0 to 100"):
        tail.parse_cursor(text, log)


def test_a_cursor_is_within_the_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert tail.parse_cursor("0", log) == 0
    log.write_bytes(b"x" * 100)
    assert tail.parse_cursor("100", log) == 100
    with pytest.raises(ValueError, match="101"):
        tail.parse_cursor("101", log)
