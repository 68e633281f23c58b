"""No address gives out, or waits for, what is no plain file of the run's directory."""

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client

from apps.experiments.models import Run, Video
from apps.jobs.verbs import logged
from apps.jobs.verbs.naming import Naming
from apps.rundir import events
from apps.spec.logged import LoggedSpec
from tests.api.clients import ApiClient, assert_problem
from tests.builders import make_run
from tests.intruders import INTRUDERS, SECRET, Intruder, put

pytestmark = [pytest.mark.timeout(30), pytest.mark.parametrize("intruder", INTRUDERS)]


@pytest.fixture
def run(home: object, db: None) -> Run:
    made = make_run()
    made.directory.append(events.metrics(1, {"train/loss": 1.0}), events.episode(1, 1.0, 5, 0))
    made.directory.train_log.write_text("step 1\n")
    made.directory.provenance.write_text("{}")
    return made


def leaks(content: bytes) -> bool:
    return SECRET.strip().encode() in content or Path("/etc/passwd").read_bytes() in content


@pytest.mark.parametrize(
    ("file", "path"),
    [
        ("metrics.jsonl", "metrics"),
        ("metrics.jsonl", "metrics?keys=train/loss&axis=time"),
        ("metrics.jsonl", "metrics?after=0"),
        ("metrics.jsonl", "episodes"),
        ("metrics.jsonl", "log"),
        ("train.log", "log?file=train"),
        ("spec.json", "config"),
        ("provenance.json", "config"),
    ],
)
def test_what_is_read_for_an_answer(
    run: Run, api: ApiClient, intruder: Intruder, file: str, path: str
) -> None:
    assert api.get(f"/runs/{run.pk}/{path}").status_code == 200
    put(intruder, run.directory.path / file)
    response = api.get(f"/runs/{run.pk}/{path}")
    assert_problem(response, 404)
    assert not leaks(response.content)


def test_a_side_file_that_is_none_is_not_regarded(
    run: Run, api: ApiClient, intruder: Intruder
) -> None:
    put(intruder, run.directory.path / "metrics.columns")
    found = api.get(f"/runs/{run.pk}/metrics").json()
    assert found["series"]["train/loss"]["values"] == [1.0]


@pytest.mark.parametrize("address", ["file", "poster"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_films(
    run: Run, api: ApiClient, intruder: Intruder, address: str, is_folder: bool
) -> None:
    video = Video.objects.create(
        run=run,
        step=1,
        path="eval/film.mp4",
        poster_path="eval/film.webp",
        duration_s=1.0,
        width=2,
        height=2,
        size_bytes=9,
    )
    folder = run.directory.evaluations
    if is_folder:
        outside = run.directory.path.parent / "outside"
        outside.mkdir()
        folder.symlink_to(outside)
        (outside / "film.mp4").write_text(SECRET)
        (outside / "film.webp").write_text(SECRET)
    else:
        folder.mkdir()
        put(intruder, folder / "film.mp4")
        put(intruder, folder / "film.webp")
    response = api.get(f"/videos/{video.pk}/{address}")
    assert_problem(response, 404)
    assert not leaks(response.content)


def test_rows_of_a_script_are_not_written_through_it(
    home: Path, api: ApiClient, intruder: Intruder
) -> None:
    run, _ = logged.begin(
        LoggedSpec.from_dict({}), Naming("logged", "Tests"), logged.Process("here", 1, {}), ""
    )
    put(intruder, run.directory.log)
    response = api.post(f"/runs/{run.pk}/metrics", {"rows": [{"step": 1, "values": {"a": 1}}]})
    assert_problem(response, 404)
    elsewhere = run.directory.path.parent / "elsewhere" / "passwd"
    assert not elsewhere.exists() or elsewhere.read_text() == SECRET


@pytest.mark.parametrize("part", ["", "parts/lineage/", "parts/log/", "parts/timeline/"])
def test_pages(run: Run, user: User, client: Client, intruder: Intruder, part: str) -> None:
    client.force_login(user)
    child = make_run(parent=run, parent_step=1, relation="branch")
    for file in ("metrics.jsonl", "train.log", "provenance.json", "record.json", "spec.json"):
        put(intruder, run.directory.path / file)
    for shown in (run, child):  # A relative's figures stand beside its own.
        response = client.get(f"/runs/{shown.pk}/{part}")
        assert response.status_code == 200
        assert not leaks(response.content)
