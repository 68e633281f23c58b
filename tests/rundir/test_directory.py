"""The run directory under real processes, real short writes and real kills."""

import errno
import fcntl
import hashlib
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.errors import DiskFull, RunDirectoryBusy, RunDirectoryError
from apps.rundir import events
from apps.rundir.directory import RunDirectory
from apps.rundir.files import publish_directory, read_json, sha256_of, write_json, write_whole
from apps.rundir.log import READ_CHUNK_BYTES, LogWriter, read_lines

ROOT = Path(__file__).resolve().parents[2]
LAW = settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.too_slow])
# Whole lines as a log may hold them, blank and non-ASCII ones too.
line_lists = st.lists(st.binary(max_size=30).map(lambda data: data.replace(b"\n", b" ")))


@pytest.fixture
def directory(tmp_path: Path) -> RunDirectory:
    """A run directory that has just been made."""
    return RunDirectory(tmp_path / "run").create({"seed": 1}, {"name": "one"})


@contextmanager
def log_holding(data: bytes) -> Iterator[Path]:
    """A log with the given content, for property tests: each example has its own folder."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "metrics.jsonl"
        log.write_bytes(data)
        yield log


def start(code: str, *arguments: object) -> subprocess.Popen[bytes]:
    """Start Python with code of ours in its own process."""
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )


def output_of(code: str, *arguments: object) -> str:
    """Run code of ours in its own process and return what it printed."""
    process = start(code, *arguments)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.decode()


def step_lines(log: Path) -> list[int]:
    """Return the step of every line of a log."""
    return [orjson.loads(line)["step"] for line in read_lines(log, max_bytes=1 << 30)[0]]


# Making it.


def test_a_new_directory_holds_its_spec_and_its_record(directory: RunDirectory) -> None:
    assert read_json(directory.spec) == {"seed": 1}
    assert read_json(directory.record) == {"name": "one"}
    assert {file.name for file in directory.path.iterdir()} == {"spec.json", "record.json"}
    assert directory.name == "run"


def test_a_directory_is_not_made_twice(directory: RunDirectory) -> None:
    with pytest.raises(RunDirectoryError, match="exists already"):
        directory.create({"seed": 2}, {})
    assert read_json(directory.spec) == {"seed": 1}


def test_the_paths_are_those_of_the_contract(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "abc")
    paths = [run.spec, run.provenance, run.log, run.checkpoints, run.evaluations, run.train_log]
    assert [str(path.relative_to(run.path)) for path in paths] == [
        "spec.json",
        "provenance.json",
        "metrics.jsonl",
        "checkpoints",
        "eval",
        "train.log",
    ]


# Appending.


def test_a_cursor_is_the_offset_after_the_line_that_was_written(directory: RunDirectory) -> None:
    first = directory.append(events.metrics(1, {"a": 1.0}))
    second = directory.append(events.metrics(2, {"a": 2.0}), events.metrics(3, {"a": 3.0}))
    assert second == directory.log.stat().st_size
    lines, cursor = read_lines(directory.log, after=first)
    assert [orjson.loads(line)["step"] for line in lines] == [2, 3]
    assert cursor == second


def test_appending_nothing_changes_nothing(directory: RunDirectory) -> None:
    cursor = directory.append(events.metrics(1, {"a": 1.0}))
    assert directory.append() == cursor
    assert directory.log.stat().st_size == cursor


def test_an_event_that_cannot_be_encoded_leaves_the_log_as_it_was(directory: RunDirectory) -> None:
    directory.append(events.metrics(1, {"a": 1.0}))
    before = directory.log.read_bytes()
    with pytest.raises(TypeError):
        directory.append(events.metrics(2, {"a": 2.0}), {"type": "metrics", "values": object()})
    assert directory.log.read_bytes() == before


def test_two_writers_in_turn_keep_every_line_in_order(directory: RunDirectory) -> None:
    with LogWriter(directory.log) as one, LogWriter(directory.log) as other:
        for step in range(10):
            (one if step % 3 else other).write([events.metrics(step, {})])
    assert step_lines(directory.log) == list(range(10))


def test_a_writer_may_be_closed_twice(directory: RunDirectory) -> None:
    writer = LogWriter(directory.log)
    writer.close()
    with directory.log.open("rb") as other:  # It has the number that the writer's file had.
        writer.close()
        assert other.read() == b""


def test_a_writer_waits_for_the_one_that_holds_the_logs_lock(directory: RunDirectory) -> None:
    before = directory.append(events.metrics(1, {}))
    writer = threading.Thread(target=directory.append, args=(events.metrics(2, {}),))
    with directory.log.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        writer.start()
        writer.join(timeout=0.2)
        assert writer.is_alive()
        assert directory.log.stat().st_size == before
    writer.join(timeout=30)
    assert step_lines(directory.log) == [1, 2]


APPEND_FROM_A_PROCESS = """
import sys
from pathlib import Path
from apps.rundir import events
from apps.rundir.log import LogWriter
log, number = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
writer = LogWriter(log)
for index in range(150):
    writer.write(
        events.status(number * 1000 + index + part, "running", "x" * (index * 7 % 900))
        for part in (0, 500)
    )
"""


def test_processes_that_append_at_once_lose_and_tear_nothing(directory: RunDirectory) -> None:
    processes = [start(APPEND_FROM_A_PROCESS, directory.log, number) for number in range(4)]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    steps = step_lines(directory.log)
    assert directory.log.read_bytes().endswith(b"\n")
    for number in range(4):
        mine = [step for step in steps if step // 1000 == number]
        expected = [number * 1000 + i + part for i in range(150) for part in (0, 500)]
        assert mine == expected
    assert len(steps) == 4 * 300


DIE_WHILE_APPENDING = """
import sys
from pathlib import Path
from apps.rundir import events
from apps.rundir.log import LogWriter
writer = LogWriter(Path(sys.argv[1]))
step = 0
while True:
    writer.write([events.status(step, "running", "x" * 300_000)])
    step += 1
    print(step, flush=True)
"""


@pytest.mark.chaos
@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.soak)])
def test_a_writer_killed_at_any_instant_loses_no_line_and_repeats_none(
    directory: RunDirectory, kills: int
) -> None:
    pick = random.Random(kills)
    for _ in range(kills):
        process = start(DIE_WHILE_APPENDING, directory.log)
        assert process.stdout is not None
        told = [int(process.stdout.readline()) for _ in range(pick.randint(1, 9))]
        time.sleep(pick.uniform(0, 0.005))  # An append takes about a millisecond.
        process.kill()
        process.communicate()
        directory.append(events.metrics(777_777, {}))
        *written, last = step_lines(directory.log)
        assert directory.log.read_bytes().endswith(b"\n")
        assert last == 777_777
        assert written == list(range(len(written)))
        assert len(written) >= told[-1]
        directory.log.write_bytes(b'{"torn":')


# Torn lines.


def test_a_log_cut_at_any_byte_reads_as_the_lines_that_are_whole(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    lines = [b'{"step":1}', b"", '{"name":"Grüße"}'.encode(), b"x", b'{"step":22}']
    data = b"".join(line + b"\n" for line in lines)
    for cut in range(len(data) + 1):
        log.write_bytes(data[:cut])
        whole = data[:cut].count(b"\n")
        found, cursor = read_lines(log)
        assert found == lines[:whole]
        assert cursor == sum(len(line) + 1 for line in lines[:whole])


def test_a_log_cut_at_any_byte_is_gone_on_with_after_its_whole_lines(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    old = b"".join(events.encode(events.status(step, "running", "é")) for step in range(3))
    for cut in range(len(old) + 1):
        log.write_bytes(old[:cut])
        whole = old[:cut].count(b"\n")
        with LogWriter(log) as writer:
            cursor = writer.write([events.metrics(99, {})])
        assert step_lines(log) == [*range(whole), 99]
        assert cursor == log.stat().st_size


@given(line_lists, st.binary(min_size=1, max_size=60).map(lambda data: data.replace(b"\n", b" ")))
@LAW
def test_a_torn_line_of_any_length_is_cut_by_the_next_writer(
    lines: list[bytes], torn: bytes
) -> None:
    whole = b"".join(line + b"\n" for line in lines)
    with log_holding(whole + torn) as log:
        with LogWriter(log) as writer:
            writer.write([events.metrics(5, {})])
        assert log.read_bytes()[: len(whole)] == whole
        assert log.read_bytes()[len(whole) :].count(b"\n") == 1


@pytest.mark.parametrize(
    "size", [READ_CHUNK_BYTES - 3, READ_CHUNK_BYTES, 2 * READ_CHUNK_BYTES + 1]
)
@pytest.mark.parametrize("whole", [b"", b'{"step":1}\n'])
def test_a_torn_line_larger_than_one_read_is_cut(tmp_path: Path, whole: bytes, size: int) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(whole + b"x" * size)
    with LogWriter(log) as writer:
        writer.write([events.metrics(5, {})])
    assert step_lines(log) == ([1, 5] if whole else [5])


def test_a_writer_cuts_the_line_that_another_one_tore_since_its_last_write(
    directory: RunDirectory,
) -> None:
    with LogWriter(directory.log) as writer:
        writer.write([events.metrics(1, {})])
        with directory.log.open("ab") as torn:
            torn.write(b'{"type":"metr')
        writer.write([events.metrics(2, {})])
    assert step_lines(directory.log) == [1, 2]


# Reading by cursor.


@given(line_lists, st.binary(max_size=10), st.integers(1, 40))
@LAW
def test_reading_piece_by_piece_equals_reading_at_once(
    lines: list[bytes], rest: bytes, max_bytes: int
) -> None:
    data = b"".join(line + b"\n" for line in lines) + rest.replace(b"\n", b" ")
    with log_holding(data) as log:
        at_once, end = read_lines(log, max_bytes=1 << 20)
        pieces: list[bytes] = []
        cursor = 0
        while True:
            piece, after = read_lines(log, cursor, max_bytes)
            if after == cursor:
                break
            pieces += piece
            cursor = after
    assert at_once == lines
    assert pieces == at_once
    assert cursor == end == sum(len(line) + 1 for line in lines)


@given(line_lists, st.data())
@LAW
def test_a_cursor_after_any_line_reads_exactly_the_lines_after_it(
    lines: list[bytes], data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, len(lines)))
    after = sum(len(line) + 1 for line in lines[:index])
    with log_holding(b"".join(line + b"\n" for line in lines)) as log:
        assert read_lines(log, after)[0] == lines[index:]


def test_a_line_longer_than_one_piece_is_read_whole(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    lines = [b"a", b"b" * 1000, b"c"]
    log.write_bytes(b"".join(line + b"\n" for line in lines))
    assert read_lines(log, 2, max_bytes=10)[0][0] == lines[1]
    assert read_lines(log, 2, max_bytes=10)[1] >= 2 + 1001


def test_a_piece_is_about_as_large_as_was_asked_for(tmp_path: Path) -> None:
    log = tmp_path / "metrics.jsonl"
    log.write_bytes(b"123456789\n" * 100)
    lines, cursor = read_lines(log, max_bytes=35)
    assert lines == [b"123456789"] * 3
    assert cursor == 30


@pytest.mark.parametrize("content", [None, b"", b"torn"])
def test_a_log_without_a_whole_line_reads_as_empty(tmp_path: Path, content: bytes | None) -> None:
    log = tmp_path / "metrics.jsonl"
    if content is not None:
        log.write_bytes(content)
    assert read_lines(log) == ([], 0)


def test_a_cursor_at_or_beyond_the_end_reads_nothing_and_stays(directory: RunDirectory) -> None:
    end = directory.append(events.metrics(1, {}))
    assert read_lines(directory.log, end) == ([], end)
    assert read_lines(directory.log, end + 100) == ([], end + 100)


# A full disk. RLIMIT_FSIZE makes the kernel write a part and raise nothing, as a full disk does.

FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from apps.rundir import events
from apps.errors import DiskFull
from apps.rundir.log import LogWriter
log = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
with LogWriter(log) as writer:
    writer.write([events.metrics(1, {"a": 1.0})])
    size = log.stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + int(sys.argv[2]), -1))
    for _ in range(3):
        try:
            writer.write([events.status(2, "running", "x" * 500), events.metrics(3, {})])
        except DiskFull as error:
            assert log.stat().st_size == size
            print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))
    writer.write([events.metrics(4, {})])
"""


@pytest.mark.parametrize("room_bytes", [0, 1, 11, 400])
def test_a_full_disk_is_reported_and_the_log_stays_whole(
    directory: RunDirectory, room_bytes: int
) -> None:
    reports = output_of(FILL_THE_DISK, directory.log, room_bytes).splitlines()
    assert len(reports) == 3
    assert all(report.startswith(f"the disk is full: {room_bytes} of ") for report in reports)
    assert all("free some space" in report for report in reports)
    assert step_lines(directory.log) == [1, 4]


WRITE_WHOLE_ON_A_FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from apps.errors import DiskFull
from apps.rundir.files import write_whole
path = Path(sys.argv[1])
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, -1))
try:
    write_whole(path, b"new" * int(sys.argv[2]))
except DiskFull as error:
    print(error)
"""


@pytest.mark.parametrize("count", [40, 100_000])
def test_a_file_keeps_its_old_content_when_the_disk_is_full(tmp_path: Path, count: int) -> None:
    path = tmp_path / "file.json"
    path.write_bytes(b"old")
    report = output_of(WRITE_WHOLE_ON_A_FULL_DISK, path, count)
    assert report == "the disk is full: file.json could not be written\n"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_another_error_of_the_disk_is_not_called_a_full_disk(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(IsADirectoryError):
        write_whole(tmp_path / "folder", b"data")
    assert [file.name for file in tmp_path.iterdir()] == ["folder"]
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "nowhere" / "file", b"data")


def test_a_read_only_log_is_not_called_a_full_disk(directory: RunDirectory) -> None:
    directory.append(events.metrics(1, {}))
    writer = LogWriter(directory.log)
    os.dup2(os.open(directory.log, os.O_RDONLY), writer._fd)
    with pytest.raises(OSError, match="Bad file descriptor") as caught:
        writer.write([events.metrics(2, {})])
    writer.close()
    assert caught.value.errno == errno.EBADF
    assert not isinstance(caught.value, DiskFull)


# Files that appear whole.


def test_a_file_is_replaced_and_nothing_else_is_left(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", b"", b"three" * 1000):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_threads_that_write_one_file_at_once_never_show_a_part(tmp_path: Path) -> None:
    path = tmp_path / "file"
    contents = [bytes([number]) * 50_000 for number in range(4)]
    write_whole(path, contents[0])
    errors: list[BaseException] = []
    is_done = threading.Event()

    def write(content: bytes) -> None:
        try:
            for _ in range(25):
                write_whole(path, content)
        except OSError as error:
            errors.append(error)

    def read() -> None:
        while not is_done.is_set():
            if path.read_bytes() not in contents:
                errors.append(AssertionError("a reader saw a part"))
                return

    reader = threading.Thread(target=read)
    writers = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in (reader, *writers):
        thread.start()
    for thread in writers:
        thread.join()
    is_done.set()
    reader.join()
    assert errors == []
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_written_for_people_and_read_back(tmp_path: Path) -> None:
    value = {"b": 1, "a": [1.5, None, "é"]}
    write_json(tmp_path / "file.json", value)
    text = (tmp_path / "file.json").read_text()
    assert text.startswith('{\n  "b": 1,')
    assert text.endswith("}\n")
    assert read_json(tmp_path / "file.json") == value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "does not exist"),
        (b"{", "is damaged"),
        (b"", "is damaged"),
        (b"\xff", "is damaged"),
        (b"[1]", "not an object"),
        (b"null", "not an object"),
    ],
)
def test_json_that_is_no_object_is_refused_with_its_path(
    tmp_path: Path, content: bytes | None, words: str
) -> None:
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunDirectoryError, match=words) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


@given(st.binary(max_size=200))
@LAW
def test_a_checksum_is_the_librarys(data: bytes) -> None:
    with log_holding(data) as path:
        assert sha256_of(path) == hashlib.sha256(data).hexdigest()


@pytest.mark.parametrize("has_earlier", [False, True])
def test_a_directory_is_published_in_place_of_an_earlier_one(
    tmp_path: Path, has_earlier: bool
) -> None:
    beside, target = tmp_path / "beside", tmp_path / "target"
    beside.mkdir()
    (beside / "new").write_bytes(b"new")
    if has_earlier:
        target.mkdir()
        (target / "old").write_bytes(b"old")
    publish_directory(beside, target)
    assert [file.name for file in target.iterdir()] == ["new"]
    assert [file.name for file in tmp_path.iterdir()] == ["target"]


def test_an_earlier_directory_is_still_there_when_publishing_fails(tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.mkdir()
    (target / "old").write_bytes(b"old")
    with pytest.raises(FileNotFoundError):
        publish_directory(tmp_path / "never-made", target)
    assert (target / "old").read_bytes() == b"old"


# The lock.

HOLD_THE_LOCK = """
import sys
from pathlib import Path
from apps.rundir.directory import RunDirectory
with RunDirectory(Path(sys.argv[1])).locked():
    print("locked", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def held_by_a_process(directory: RunDirectory) -> Iterator[subprocess.Popen[bytes]]:
    process = start(HOLD_THE_LOCK, directory.path)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_second_locker_is_refused_with_the_process_that_holds_the_lock(
    directory: RunDirectory,
) -> None:
    with held_by_a_process(directory) as process:
        assert directory.lock_holder() == process.pid
        with (
            pytest.raises(RunDirectoryBusy, match=rf"run run .* by process {process.pid};"),
            directory.locked(),
        ):
            pass
        assert directory.lock_holder() == process.pid


@pytest.mark.chaos
@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, None])
def test_the_lock_is_free_once_its_process_is_gone(
    directory: RunDirectory, ending: signal.Signals | None
) -> None:
    with held_by_a_process(directory) as process:
        if ending:
            process.send_signal(ending)
        process.communicate()
        assert directory.lock_holder() is None
        with directory.locked():
            assert directory.lock_holder() == os.getpid()
    assert directory.lock_holder() is None


def test_the_lock_is_free_after_an_error_inside_it(directory: RunDirectory) -> None:
    with pytest.raises(ZeroDivisionError), directory.locked():
        _ = 1 / 0
    assert directory.lock_holder() is None
    with directory.locked():
        pass


def test_the_lock_is_not_taken_twice_by_one_process(directory: RunDirectory) -> None:
    with directory.locked():  # noqa: SIM117 - the second is the one that is refused
        with pytest.raises(RunDirectoryBusy, match=str(os.getpid())), directory.locked():
            pass


def test_a_lock_that_was_never_taken_has_no_holder(directory: RunDirectory) -> None:
    assert directory.lock_holder() is None
    assert not directory.lock_file.exists()


def test_a_directory_that_is_missing_cannot_be_locked(tmp_path: Path) -> None:
    missing = RunDirectory(tmp_path / "missing")
    with pytest.raises(RunDirectoryError, match="does not exist"), missing.locked():
        pass
    assert missing.lock_holder() is None
    assert not missing.path.exists()


def test_a_lock_file_of_a_holder_that_has_not_signed_yet_is_held_by_nobody_known(
    directory: RunDirectory,
) -> None:
    with directory.locked():
        directory.lock_file.write_bytes(b"")
        assert directory.lock_holder() == 0
        with pytest.raises(RunDirectoryBusy, match="process unknown"), directory.locked():
            pass


def test_asking_for_the_holder_keeps_nobody_from_the_lock(directory: RunDirectory) -> None:
    is_done = threading.Event()

    def ask() -> None:
        while not is_done.is_set():
            directory.lock_holder()

    askers = [threading.Thread(target=ask) for _ in range(2)]
    with directory.locked():
        pass
    for asker in askers:
        asker.start()
    try:
        for _ in range(100):
            with directory.locked():
                pass
    finally:
        is_done.set()
        for asker in askers:
            asker.join()


def test_a_shorter_process_id_leaves_nothing_of_a_longer_one(directory: RunDirectory) -> None:
    directory.lock_file.write_text("123456789012345\n")
    with directory.locked():
        assert directory.lock_holder() == os.getpid()


def test_the_directory_is_shown_with_its_path(tmp_path: Path) -> None:
    shown: Any = repr(RunDirectory(tmp_path))
    assert str(tmp_path) in shown


def test_what_is_forked_while_a_lock_is_held_holds_none(tmp_path: Path) -> None:
    directory = RunDirectory(tmp_path / "run").create({}, {})
    asked, telling = os.pipe()
    is_there, being_there = os.pipe()
    with directory.locked():
        child = os.fork()
        if not child:  # It outlives the block, as an environment's process may.
            os.close(telling)
            os.write(being_there, b".")
            os.read(asked, 1)
            os._exit(0)
        os.read(is_there, 1)
    try:
        assert directory.lock_holder() is None
    finally:
        os.close(telling)
        os.waitpid(child, 0)
