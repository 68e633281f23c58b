"""The doorbell: whatever becomes of its file, nobody who rings fails, and it rings again."""

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.experiments.models import Evaluation
from apps.experiments.statuses import RunStatus
from apps.jobs import queue, tasks
from apps.jobs.queue import Doorbell, huey
from apps.jobs.verbs import checking, life, lineage
from apps.jobs.worker.watchdog import Watchdog
from tests.builders import TINY_PPO, make_run

Spoil = Callable[[Path], object]


def delete(path: Path) -> None:
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()


def overwrite(path: Path) -> None:
    delete(path)
    path.write_bytes(b"this is no database at all, and it is longer than a header " * 100)


def truncate(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(0)


def tear(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (path.stat().st_size - 100))


def drop_tables(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE task")


def be_a_folder(path: Path) -> None:
    delete(path)
    path.mkdir()


MENDED_BY_ITSELF = [delete, overwrite, truncate, tear, drop_tables]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "queue.sqlite3"


@pytest.fixture
def bell(path: Path) -> Iterator[Doorbell]:
    bell = Doorbell("rlgym", filename=str(path), timeout=0.1)
    bell.enqueue(b"before")
    assert bell.dequeue() == b"before"
    yield bell
    bell.close()


@pytest.mark.parametrize("spoil", MENDED_BY_ITSELF)
def test_a_spoilt_file_fails_no_ring_and_rings_again(
    bell: Doorbell, path: Path, spoil: Spoil
) -> None:
    spoil(path)
    bell.enqueue(b"first")
    bell.enqueue(b"second")
    assert {bell.dequeue(), bell.dequeue()} == {b"first", b"second"}
    other = Doorbell("rlgym", filename=str(path), timeout=0.1)
    bell.enqueue(b"third")
    assert other.dequeue() == b"third"
    other.close()


@pytest.mark.parametrize("spoil", [*MENDED_BY_ITSELF, be_a_folder])
def test_who_only_listens_outlives_a_spoilt_file(bell: Doorbell, path: Path, spoil: Spoil) -> None:
    spoil(path)
    assert bell.dequeue() is None
    assert bell.dequeue() is None


def test_where_the_file_cannot_be_written_a_ring_is_heard_in_its_own_process(
    bell: Doorbell, path: Path
) -> None:
    be_a_folder(path)
    for number in range(queue.MOST_UNHEARD + 10):
        bell.enqueue(str(number).encode())
    heard = [bell.dequeue() for _ in range(queue.MOST_UNHEARD)]
    assert heard[-1] == str(queue.MOST_UNHEARD + 9).encode()
    assert bell.dequeue() is None
    path.rmdir()
    bell.enqueue(b"again")
    assert path.is_file()
    assert bell.dequeue() == b"again"


def test_a_file_that_is_held_locked_fails_no_ring(bell: Doorbell, path: Path) -> None:
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    bell.enqueue(b"heard")
    assert bell.dequeue() == b"heard"
    holder.execute("ROLLBACK")
    holder.close()


def test_several_threads_outlive_a_file_that_is_deleted_again_and_again(
    bell: Doorbell, path: Path
) -> None:
    rung: list[bool] = []

    def ring_and_listen() -> None:
        for _ in range(50):
            bell.enqueue(b"ring")
            bell.dequeue()
        rung.append(True)

    threads = [threading.Thread(target=ring_and_listen) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        path.unlink(missing_ok=True)
    assert rung == [True] * 4


def test_a_process_starts_with_a_damaged_file(path: Path) -> None:
    overwrite(path)
    code = (
        "import sys; from django.conf import settings\n"
        "settings.configure(QUEUE_PATH=sys.argv[1])\n"
        "from apps.jobs.queue import huey\n"
        "huey.storage.enqueue(b'x'); print(huey.storage.dequeue())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=False
    )
    assert done.stdout == "b'x'\n", done.stderr
    assert "is damaged" in done.stderr


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("home")
def test_no_verb_fails_over_a_doorbell_that_cannot_be_rung(settings: Settings) -> None:
    file = Path(str(settings.QUEUE_PATH))
    huey.flush()
    be_a_folder(file)
    try:
        run = life.launch(checking.check_spec(TINY_PPO))
        assert run.status == RunStatus.QUEUED
        done = make_run(status=RunStatus.STOPPED)
        assert lineage.retry(done).status == RunStatus.QUEUED
        Watchdog().tick()  # It rings for the worker that it lives in.
        rung = huey.dequeue()
        assert rung is not None
        assert rung.name == tasks.work_on_runs.task_class.__name__
        assert not Evaluation.objects.exists()
    finally:
        huey.storage.close()
        file.rmdir()
        huey.flush()
