"""Reindexing, presence, checks, system status: what keeps the house in order."""

import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pytest_django import Settings

from apps.experiments.models import Evaluation, Experiment, Run, Video
from apps.experiments.statuses import RunStatus
from apps.jobs import checks, presence
from apps.jobs.presence import Worker
from apps.jobs.verbs import records, refusals, reindex, system
from apps.rundir import events
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json, write_json
from tests.builders import make_run

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("home")]


def write_result(run: Run, name: str, **changes: object) -> None:
    run.directory.evaluations.mkdir(exist_ok=True)
    film = {
        "path": f"eval/{name}.mp4",
        "poster_path": f"eval/{name}.webp",
        "width": 600,
        "height": 424,
        "fps": 50.0,
        "n_frames": 50,
        "duration_s": 1.0,
        "size_bytes": 9,
    }
    result = {
        "name": name,
        "step": 256,
        "spec": {
            "n_episodes": 2,
            "seed": 7,
            "is_deterministic": True,
            "max_episode_steps": 100,
            "should_film": True,
        },
        "return_mean": 15.0,
        "return_std": 5.0,
        "return_min": 10.0,
        "return_max": 20.0,
        "length_mean": 15.0,
        "episodes": [],
        "film": film,
        "film_error": "",
        **changes,
    }
    write_json(run.directory.evaluations / f"{name}.json", result)


def rows() -> list[dict[str, object]]:
    return [
        *Run.objects.order_by("pk").values(),
        *Evaluation.objects.order_by("name").values("name", "return_mean", "result", "step"),
        *Video.objects.order_by("path").values("path", "size_bytes", "evaluation__name"),
    ]


def test_rebuilding_twice_gives_the_same_rows() -> None:
    run = make_run()
    run.directory.append(
        events.status(0, "draft"),
        events.status(0, "queued"),
        events.status(0, "running"),
        events.metrics(128, {"rollout/ep_rew_mean": 21.0, "rollout/ep_len_mean": 20.0}),
        events.episode(200, 10.0, 10, 0),
        events.episode(256, 30.0, 30, 0),
        events.status(256, "completed"),
    )
    write_result(run, "eval_a")
    write_result(run, "eval_b", return_mean=12.0)
    Run.objects.all().delete()
    assert reindex.reindex().runs == [run.pk]
    first = rows()
    reindex.reindex()
    assert rows() == first
    rebuilt = Run.objects.get()
    assert (rebuilt.name, rebuilt.experiment.name) == ("tiny", "Tests")
    assert (rebuilt.status, rebuilt.step, rebuilt.episodes) == (RunStatus.COMPLETED, 256, 2)
    assert (rebuilt.return_last, rebuilt.return_mean, rebuilt.length_mean) == (21.0, 20.0, 20.0)
    assert rebuilt.evaluation_best == 15.0
    assert rebuilt.created_at == run.created_at
    assert Video.objects.count() == 2


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (["draft"], "draft"),
        (["draft", "queued"], "queued"),
        (["draft", "queued", "running"], "lost"),
        (["draft", "queued", "running", "failed"], "failed"),
        (["draft", "queued", "stopped"], "stopped"),
        (["draft", "dancing"], "lost"),
    ],
)
def test_the_log_says_what_a_run_is(lines: list[str], status: str) -> None:
    run = make_run()
    run.directory.append(*(events.status(0, line) for line in lines))
    Run.objects.all().delete()
    assert reindex.reindex_run(run.directory).status == status


def test_each_episode_counts_once_though_an_attempt_begins_amid_what_is_read() -> None:
    run = make_run()
    played = [(4, 1.0), (9, 50.0), (8, 4.0)]
    first, superseded, again = (events.episode(step, won, 4, 0) for step, won in played)
    run.directory.append(first, superseded, events.attempt(5, 2, "exact"), again)
    found = reindex.reindex_run(run.directory)
    assert (found.episodes, found.return_mean, found.step) == (2, 2.5, 8)


def test_a_hypothesis_outlives_the_database() -> None:
    made = records.create_experiment("Löwe / ../x", "It learns.")
    records.set_hypothesis(made, "It learns faster.")
    with pytest.raises(refusals.Refused, match="exists already"):
        records.create_experiment("Löwe / ../x")
    Experiment.objects.all().delete()
    reindex.reindex()
    again = Experiment.objects.get()
    assert (again.name, again.hypothesis) == ("Löwe / ../x", "It learns faster.")
    assert again.created_at == made.created_at


def test_a_run_that_is_supervised_keeps_its_status() -> None:
    run = make_run(status=RunStatus.RUNNING, owner="host:1:x", attempt=3)
    run.directory.append(events.status(0, "running"), events.episode(40, 12.0, 12, 0))
    rebuilt = reindex.reindex_run(run.directory)
    assert (rebuilt.status, rebuilt.owner, rebuilt.attempt) == (RunStatus.RUNNING, "host:1:x", 3)
    assert rebuilt.step == 40


def test_one_unreadable_directory_stops_no_other() -> None:
    good, bad = make_run(), make_run()
    bad.directory.spec.write_text("{ torn")
    (bad.directory.path.parent / "stray.txt").write_text("not a run")
    (bad.directory.path.parent / "empty").mkdir()
    report = reindex.reindex()
    assert report.runs == [good.pk]
    assert set(report.refused) == {bad.pk, "empty"}
    assert "damaged" in report.refused[bad.pk]


def test_lineage_on_disk_that_goes_in_a_circle_is_refused_where_it_closes() -> None:
    older, younger = make_run(), make_run()
    for run, parent in ((older, younger), (younger, older)):
        write_json(run.directory.record, {**read_json(run.directory.record), "parent": parent.pk})
    report = reindex.reindex()
    assert report.runs == [younger.pk]
    assert "is not older than itself" in report.refused[older.pk]
    Run.objects.all().delete()
    reindex.reindex()  # Nothing is known of the younger one when the older is read.
    assert Run.objects.get(pk=older.pk).parent is None
    assert Run.objects.get(pk=younger.pk).parent == older


def test_a_record_with_a_time_that_is_none_stops_no_other() -> None:
    good, bad = make_run(), make_run()
    record = read_json(bad.directory.record)
    write_json(bad.directory.record, {**record, "created_at": "yesterday"})
    Run.objects.all().delete()
    report = reindex.reindex()
    assert report.runs == [good.pk]
    assert "yesterday" in report.refused[bad.pk]


def test_a_directory_from_elsewhere_is_taken_in(home: Path) -> None:
    run = make_run()
    run.directory.record.unlink()
    Run.objects.all().delete()
    moved = RunDirectory(run.directory.path.rename(run.directory.path.parent / "found"))
    assert reindex.reindex_run(moved).name == "found"
    assert Run.objects.get().experiment.name == "Found on disk"


def test_workers_are_counted_while_they_live(tmp_path: Path) -> None:
    assert presence.living(tmp_path) == []
    with presence.announced(tmp_path, Worker(slots=2, max_runs=3)):
        assert presence.living(tmp_path) == [Worker(slots=2, max_runs=3)]
    assert presence.living(tmp_path) == []


def test_a_killed_worker_is_not_counted_and_leaves_no_file(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from apps.jobs.presence import *\n"
        "here = announced(Path(sys.argv[1]), Worker(1, 1))\n"
        "with here: print('here', flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    assert worker.stdout.readline() == b"here\n"
    assert len(presence.living(tmp_path)) == 1
    worker.kill()
    worker.wait()
    assert presence.living(tmp_path) == []
    assert list((tmp_path / presence.FOLDER).iterdir()) == []


def test_a_thread_that_never_asked_is_told_what_share_of_the_cores_is_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(system.Cores, "MIN_INTERVAL_S", 0.0)
    cores = system.Cores()
    seen = cores._seen
    later = seen._replace(user=seen.user + 3, idle=seen.idle + 1)
    monkeypatch.setattr(system.psutil, "cpu_times", lambda: later)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(cores.busy_fraction).result() == pytest.approx(0.75)


def test_the_system_status_counts_runs_and_workers(home: Path) -> None:
    for status in (RunStatus.QUEUED, RunStatus.QUEUED, RunStatus.COMPLETED):
        make_run(status=status)
    make_run(status=RunStatus.RUNNING, owner="host:1:x")
    seen = system.status()
    assert (seen.queued, seen.running, seen.workers) == (2, 1, 0)
    assert seen.is_worker_missing
    assert 0 <= seen.memory_fraction <= 1
    assert seen.disk_free_bytes > 0
    with presence.announced(home, Worker(slots=2, max_runs=2)):
        assert not system.status().is_worker_missing
        assert system.status().slots == 2


def test_the_database_has_the_measured_options() -> None:
    assert checks.check_sqlite_pragmas(None) == []


@pytest.mark.parametrize("pragma", ["PRAGMA synchronous=FULL", "PRAGMA synchronous=OFF"])
def test_other_database_options_are_an_error(pragma: str) -> None:
    command = (
        "import django; django.setup()\n"
        "from django.db import connection\n"
        "from apps.jobs.checks import check_sqlite_pragmas\n"
        f"connection.cursor().execute({pragma!r})\n"
        "print([message.id for message in check_sqlite_pragmas(None)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.strip() == "['rlgym.E001']"


def test_a_data_directory_on_a_network_disk_is_warned_about(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Mount:
        mountpoint = str(tmp_path)
        fstype = "nfs4"

    settings.HOME = tmp_path / "data"
    assert checks.check_local_disk(None) == []
    monkeypatch.setattr(checks.psutil, "disk_partitions", lambda all: [Mount])
    assert [message.id for message in checks.check_local_disk(None)] == ["rlgym.W001"]


def test_the_lock_of_a_run_is_free_once_its_holder_is_gone() -> None:
    run = make_run()
    with run.directory.locked():
        assert run.directory.lock_holder() == os.getpid()
    assert run.directory.lock_holder() is None
    with run.directory.lock_file.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
