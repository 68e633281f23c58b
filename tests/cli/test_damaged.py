"""A database or a folder that cannot be used: one line from every command, and the way out."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from django.core.management.base import CommandError
from django.db import DatabaseError, OperationalError
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from pytest_django import Settings

from apps.api.router import api as ninja_api
from apps.cli.management.commands import reindex as reindex_command
from apps.dashboard.broken import server_error
from apps.experiments.models import Run
from apps.jobs import presence, soundness
from apps.jobs.verbs import reindex
from tests.builders import TINY_PPO
from tests.commands import manage
from tests.full_disk import small_disk
from tests.live_stack import ROOT

Spoil = Callable[[Path], object]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with one draft in it."""
    home = tmp_path_factory.mktemp("filled")
    code = (
        "from apps.jobs.verbs import checking, life\n"
        f"life.create(checking.check_spec({TINY_PPO!r}))\n"
        "from apps.accounts.models import first_admin; first_admin()"
    )
    manage(home, "runs")
    done = manage(home, "shell", "-v", "0", "-c", code)
    assert done.returncode == 0, done.stderr
    return home


@pytest.fixture
def home(filled: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    subprocess.run(["cp", "-a", f"{filled}/.", tmp_path], check=True)
    return tmp_path


def no_database(path: Path) -> None:
    path.write_bytes(b"no database at all\n" * 500)


def torn_pages(path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (path.stat().st_size - 4096))


def cut_in_half(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def another_program_s(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE django_migrations (something)")


@pytest.mark.slow
@pytest.mark.parametrize("spoil", [no_database, torn_pages, cut_in_half, another_program_s])
def test_commands_say_in_one_line_what_is_wrong_and_reindex_builds_anew(
    home: Path, spoil: Spoil
) -> None:
    path = home / "db.sqlite3"
    spoil(path)
    spoilt = path.read_bytes()
    for arguments in (("runs",), ("migrate",)):
        done = manage(home, *arguments)
        assert done.returncode == 1, done.stdout
        assert done.stderr.count("\n") == 1, done.stderr
        assert str(path) in done.stderr
        assert "reindex --fresh" in done.stderr
    rebuilt = manage(home, "reindex", "--fresh", "--json")
    assert rebuilt.returncode == 0, rebuilt.stderr
    told = json.loads(rebuilt.stdout)
    # But for its header, in which SQLite notes how it was opened.
    assert Path(told["kept"]).read_bytes()[100:4096] == spoilt[100:4096]
    assert len(told["runs"]) == 1
    assert json.loads(manage(home, "runs", "--json").stdout)


@pytest.mark.slow
def test_doctor_finds_what_is_damaged(home: Path) -> None:
    torn_pages(home / "db.sqlite3")
    no_database(home / "queue.sqlite3")
    done = manage(home, "doctor", "--json")
    assert done.returncode == 1
    found = {one["name"]: one for one in json.loads(done.stdout)}
    assert found["database"]["state"] == "error"
    assert "reindex --fresh" in found["database"]["detail"]
    assert found["queue"]["state"] == "warning"
    assert "delete it" in found["queue"]["detail"]
    assert found["media"]["state"] == "ok"
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_what_may_only_be_read_is_said_in_one_line(filled: Path, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 32) as disk:
        subprocess.run(["cp", "-a", f"{filled}/.", disk], check=True)
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        for arguments in (("runs",), ("train", "--queue", "-n", "100"), ("migrate",)):
            done = manage(disk, *arguments)
            assert done.returncode == 1, done.stdout
            assert done.stderr.count("\n") == 1, done.stderr
            assert str(disk / "db.sqlite3") in done.stderr
        found = {one["name"]: one for one in json.loads(manage(disk, "doctor", "--json").stdout)}
        states = {name: found[name]["state"] for name in ("database", "media", "queue")}
        assert states == {"database": "error", "media": "error", "queue": "warning"}


@pytest.mark.slow
def test_media_that_are_no_folder_are_said_in_one_line(home: Path) -> None:
    subprocess.run(["rm", "-r", home / "media"], check=True)
    (home / "media").write_text("no folder")
    done = manage(home, "runs")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"RLGYM_MEDIA='{home}/media' cannot be made" in done.stderr


def test_a_new_database_is_not_built_under_a_worker(tmp_path: Path, settings: Settings) -> None:
    settings.HOME = tmp_path
    with (
        presence.announced(tmp_path, presence.Worker(1, 1)),
        pytest.raises(CommandError, match="a worker is alive; end it before"),
    ):
        reindex_command.Command().handle(fresh=True, json=False)


@pytest.mark.django_db
@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"name": 1}', '{"created_at": 7}', "\x00"])
def test_a_damaged_file_stops_no_rebuild(tmp_path: Path, settings: Settings, text: str) -> None:
    settings.MEDIA_ROOT, settings.RUNS_ROOT = tmp_path, tmp_path / "runs"
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments" / "x.json").write_text(text)
    (tmp_path / "runs" / "broken").mkdir(parents=True)
    (tmp_path / "runs" / "broken" / "spec.json").write_text(text)
    report = reindex.reindex()
    assert "x.json" in report.refused
    assert all(report.refused.values())
    assert not Run.objects.filter(name="never").exists()


def broken_by(name: str) -> DatabaseError:
    cause = sqlite3.DatabaseError("what SQLite says")
    cause.sqlite_errorname = name
    error = DatabaseError("what\nSQLite says")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize("name", ["SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_READONLY_DIRECTORY"])
def test_pages_and_rest_answer_503_when_the_database_cannot_be_used(name: str) -> None:
    request = RequestFactory().get("/")
    try:
        raise broken_by(name)
    except DatabaseError as error:
        page = server_error(request)
        answer = ninja_api.on_exception(request, error)
    assert (page.status_code, answer.status_code) == (503, 503)
    assert page["Content-Type"].startswith("text/plain")
    assert b"doctor" in page.content
    assert b"Traceback" not in page.content


@pytest.mark.slow
def test_a_page_over_a_damaged_database_is_a_plain_503(home: Path) -> None:
    code = (
        "from django.test import Client; import sys\n"
        "client = Client(raise_request_exception=False, SERVER_NAME='localhost')\n"
        "for path in ('/', '/runs/', '/api/v1/runs', '/api/v1/health', '/admin/login/'):\n"
        "    client.cookies['sessionid'] = 'x' * 32\n"
        "    answer = client.get(path, headers={'Authorization': 'Bearer rlgym_x'})\n"
        "    print(path, answer.status_code, answer['Content-Type'])\n"
    )
    torn_pages(home / "db.sqlite3")
    environment = {**os.environ, "RLGYM_HOME": str(home)}
    environment["DJANGO_SETTINGS_MODULE"] = "rlgym.settings"
    done = subprocess.run(
        [sys.executable, "-c", f"import django; django.setup()\n{code}"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    answers = [line.split() for line in done.stdout.splitlines()]
    assert [status for _, status, *_ in answers[:4]] == ["503"] * 4, done.stdout + done.stderr
    assert all("html" not in kind for _, status, kind, *_ in answers if status == "503")


def test_a_wrong_statement_is_still_a_fault_of_ours() -> None:
    assert not soundness.is_unusable(broken_by("SQLITE_ERROR"))
    assert soundness.is_unusable(OperationalError("database is locked"))
    assert not soundness.is_unusable(KeyError("database"))


@given(st.text(), st.text())
def test_whatever_the_database_says_is_one_line(name: str, words: str) -> None:
    error = broken_by(name)
    error.args = (words,)
    assert "\n" not in soundness.in_words(error)
    assert "\r" not in soundness.in_words(error)
