"""Runs that outside scripts log, over REST: each row once, each refusal named."""

import socket
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.utils import timezone

from apps.api.limits import BatchThrottle
from apps.experiments.models import Run
from apps.experiments.statuses import RunStatus
from apps.jobs import intakes
from apps.jobs.verbs import logged, logged_videos, reindex
from apps.jobs.worker.watchdog import Watchdog, decide_run
from tests.api.clients import ApiClient, assert_problem
from tests.builders import make_run
from tests.films import encode

BEGIN = {
    "name": "mine",
    "experiment": "Outside",
    "algorithm": "PPO (CleanRL)",
    "environment": "CartPole-v1",
    "total_timesteps": 1000,
    "config": {"lr": 2.5e-4, "seed": 3},
    "provenance": {"command": "python ppo.py"},
}


@pytest.fixture
def run(api: ApiClient) -> Run:
    return Run.objects.get(pk=api.post("/runs/logged", BEGIN).json()["id"])


def rows(*steps: int) -> list[dict[str, Any]]:
    return [{"step": step, "values": {"losses/value": step / 10}} for step in steps]


def send(api: ApiClient, run: Run, sent: list[Any], seq: int = 0, writer: str = "w") -> Any:
    numbered = {"writer": writer, "seq": seq} if seq else {}
    return api.post(f"/runs/{run.pk}/metrics", {"rows": sent, **numbered})


def log_of(run: Run, kind: str = "metrics") -> list[dict[str, Any]]:
    lines = [orjson.loads(line) for line in run.directory.log.read_bytes().splitlines()]
    return [line for line in lines if line["type"] == kind]


def forget() -> None:
    """Let this process know as little of any log as a web server that has just started."""
    intakes._intakes.clear()


def test_a_script_s_run_runs_from_its_beginning_and_says_what_it_is(api: ApiClient) -> None:
    response = api.post("/runs/logged", BEGIN)
    assert response.status_code == 201
    shown = api.get(f"/runs/{response.json()['id']}").json()
    said = ("kind", "status", "algorithm", "seed", "total_timesteps", "experiment", "progress")
    assert [shown[name] for name in said] == [
        "logged",
        "running",
        "PPO (CleanRL)",
        3,
        1000,
        "Outside",
        0.0,
    ]
    assert shown["legal_moves"] == ["completed", "failed", "stopped", "lost"]
    config = api.get(f"/runs/{shown['id']}/config").json()
    assert config["spec"]["config"] == BEGIN["config"]
    assert config["provenance"] == BEGIN["provenance"]
    assert [one["id"] for one in api.get("/runs", kind="logged").json()["runs"]] == [shown["id"]]
    assert api.get("/runs", kind="trained").json()["runs"] == []


def test_a_script_need_not_say_anything(api: ApiClient) -> None:
    shown = api.post("/runs/logged", {}).json()
    assert (shown["name"], shown["experiment"]) == ("logged", "Logged runs")
    assert (shown["seed"], shown["total_timesteps"], shown["progress"]) == (None, None, None)


def test_a_run_with_an_id_of_the_script_s_own_is_made_once(api: ApiClient) -> None:
    first, again = (api.post("/runs/logged", {**BEGIN, "id": "k3v9mpt2xa"}) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    # The server ended between the directory and its row.
    Run.objects.all().delete()
    assert api.post("/runs/logged", {**BEGIN, "id": "k3v9mpt2xa"}).status_code == 200
    assert Run.objects.get().name == "mine"


def test_rows_are_in_the_log_and_in_the_columns(api: ApiClient, run: Run) -> None:
    episodes = [
        {"type": "episode", "step": step, "return": value, "length": 10}
        for step, value in ((10, 1.0), (20, 3.0), (30, "nan"))
    ]
    evaluation = {"type": "evaluation", "step": 40, "returns": [4, 8], "lengths": [1, 3]}
    special = {"step": 50, "t": 1.5, "values": {"a": None, "b": "-inf"}, "special": {"a": "inf"}}
    receipt = send(api, run, [*episodes, evaluation, special], seq=1).json()
    assert receipt == {"taken": 5, "repeated": 0, "refused": 0, "backward": 0, "stop": None}
    (line,) = log_of(run)
    assert line == {
        "type": "metrics",
        "t": 1.5,
        "step": 50,
        "values": {"a": None, "b": None},
        "special": {"a": "inf", "b": "-inf"},
        "writer": "w",
        "seq": 5,
    }
    shown = api.get(f"/runs/{run.pk}").json()
    names = ("step", "episodes", "return_last", "return_best", "return_mean", "evaluation_last")
    assert [shown[name] for name in names] == [50, 2, 2.0, 2.0, 2.0, 6.0]
    assert shown["progress"] == 0.05
    told = api.get(f"/runs/{run.pk}/evaluations/latest").json()
    assert (told["return_mean"], told["return_std"], told["length_mean"]) == (6.0, 2.0, 2.0)
    assert (told["n_episodes"], told["seed"], told["is_deterministic"]) == (2, None, None)
    curve = api.get(f"/runs/{run.pk}/metrics").json()["series"]["episode/return"]
    assert curve["values"] == [1.0, 3.0, None]


def test_rows_that_came_before_are_acknowledged_and_not_written_again(
    api: ApiClient, run: Run
) -> None:
    send(api, run, rows(1, 2, 3), seq=1)
    receipt = send(api, run, rows(2, 3, 4, 5), seq=2).json()
    assert (receipt["taken"], receipt["repeated"]) == (2, 2)
    forget()
    receipt = send(api, run, rows(*range(1, 7)), seq=1).json()
    assert (receipt["taken"], receipt["repeated"]) == (1, 5)
    # Another process of the script counts for itself; whoever counts nothing is not recognised.
    assert send(api, run, rows(7), seq=1, writer="v").json()["taken"] == 1
    assert send(api, run, rows(8)).json()["taken"] == send(api, run, rows(8)).json()["taken"] == 1
    assert [line["step"] for line in log_of(run)] == [1, 2, 3, 4, 5, 6, 7, 8, 8]


def test_a_batch_that_a_dying_server_wrote_half_is_made_whole(api: ApiClient, run: Run) -> None:
    send(api, run, rows(1), seq=1)
    before = run.directory.log.read_bytes()
    send(api, run, rows(2, 3, 4), seq=2)
    written = run.directory.log.read_bytes()
    for end in range(len(before), len(written), 7):
        run.directory.log.write_bytes(written[:end])
        forget()
        assert send(api, run, rows(2, 3, 4), seq=2).status_code == 200
        assert [line["step"] for line in log_of(run)] == [1, 2, 3, 4]


def test_a_wrong_row_stops_no_other_and_is_named(api: ApiClient, run: Run) -> None:
    sent = rows(*range(10))
    sent[7]["values"]["losses/value"] = "fast"
    response = send(api, run, sent, seq=1)
    shown = assert_problem(response, 422)
    (error,) = shown["errors"]
    assert (error["row"], error["field"]) == (7, "values.losses/value")
    assert "'fast' is not allowed; it must be a number" in error["message"]
    assert shown["receipt"] == {
        "taken": 9,
        "repeated": 0,
        "refused": 1,
        "backward": 0,
        "stop": None,
    }
    assert [line["step"] for line in log_of(run)] == [0, 1, 2, 3, 4, 5, 6, 8, 9]
    receipt = assert_problem(send(api, run, sent, seq=1), 422)["receipt"]
    assert (receipt["taken"], receipt["repeated"], receipt["refused"]) == (0, 9, 1)


def test_a_run_has_so_many_metrics_and_no_more(
    api: ApiClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logged, "MAX_KEYS", 2)
    sent = [{"step": 1, "values": {key: 1.0}} for key in ("a", "b", "c", "a")]
    (error,) = assert_problem(send(api, run, sent), 422)["errors"]
    assert (error["row"], error["message"]) == (
        2,
        "'c' is not allowed; a run has at most 2 metrics",
    )
    assert len(log_of(run)) == 3


def test_of_ten_thousand_names_a_run_takes_half_and_says_which_rows_it_refused(
    api: ApiClient, run: Run
) -> None:
    sent = [
        {"step": nth, "values": {f"names/{nth}/{number}": 1.0 for number in range(1000)}}
        for nth in range(10)
    ]
    errors = assert_problem(send(api, run, sent, seq=1), 422)["errors"]
    assert [error["row"] for error in errors] == [5, 6, 7, 8, 9]
    assert all("a run has at most 5000 metrics" in error["message"] for error in errors)
    assert len(api.get(f"/runs/{run.pk}/metrics").json()["keys"]) == 5000
    # What has a name already goes on.
    assert send(api, run, sent[:5], seq=11).json()["taken"] == 5


def test_steps_may_go_backward_and_are_counted(api: ApiClient, run: Run) -> None:
    assert send(api, run, rows(5, 3, 4, 6)).json()["backward"] == 2
    assert send(api, run, rows(1, 7)).json()["backward"] == 1
    assert Run.objects.get().step == 7


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ({"id": "short"}, "id"),
        ({"algorithm": 3}, "algorithm"),
        ({"seed": "x"}, "seed"),
        ({"total_timesteps": 0}, "total_timesteps"),
        ({"config": "lr=1"}, "config"),
        ({"spec": {}}, "spec"),
        ({"host": "a b", "pid": 3}, "host"),
        ({"pid": 3}, "host"),
        ({"name": "x" * 121}, "name"),
        ({"provenance": {"a": "x" * 70_000}}, "provenance"),
    ],
)
def test_a_run_that_cannot_be_begun_is_refused(api: ApiClient, data: Any, field: str) -> None:
    errors = assert_problem(api.post("/runs/logged", data), 422)["errors"]
    assert [error["field"] for error in errors] == [field]
    assert not Run.objects.exists()


def test_what_is_not_json_or_no_batch_is_refused(api: ApiClient, run: Run) -> None:
    address = f"/api/v1/runs/{run.pk}/metrics"
    for body, status in ((b'{"rows": [NaN]}', 400), (b"", 400), (b"[]", 422), (b"{}", 422)):
        response = api._client.post(address, body, content_type="application/json")
        assert_problem(response, status)
    assert_problem(api.post("/runs/nothing/metrics", {"rows": []}), 404)
    assert_problem(api.post(f"/runs/{run.pk}/finish", {"status": "paused"}), 422)
    assert_problem(api.post("/runs/nothing/finish"), 404)
    assert log_of(run) == []


def test_what_is_trained_here_takes_no_rows_of_others(api: ApiClient) -> None:
    trained = make_run()
    assert "is trained here" in assert_problem(send(api, trained, rows(1)), 409)["detail"]
    assert_problem(api.post(f"/runs/{trained.pk}/finish"), 409)
    assert_problem(api.post("/runs/logged", {"id": trained.pk}), 409)


@pytest.mark.parametrize(
    ("verb", "data"),
    [
        ("start", None),
        ("pause", None),
        ("save", None),
        ("resume", None),
        ("retry", None),
        ("reproduce", None),
        ("continue", {"more_timesteps": 5}),
        ("branch", {}),
        ("evaluations", {}),
    ],
)
def test_what_only_a_trainer_can_do_is_refused_in_words(
    api: ApiClient, run: Run, verb: str, data: Any
) -> None:
    detail = assert_problem(api.post(f"/runs/{run.pk}/{verb}", data), 409)["detail"]
    assert verb == "start" or "a script outside does its work" in detail
    assert Run.objects.get().status == RunStatus.RUNNING


def test_a_script_is_told_to_stop_with_its_next_batch(api: ApiClient, run: Run) -> None:
    assert api.post(f"/runs/{run.pk}/stop").status_code == 202
    assert send(api, run, []).json()["stop"] == "Stopped by its user."
    ended = api.post(f"/runs/{run.pk}/finish", {"status": "stopped"}).json()
    assert (ended["status"], ended["legal_moves"]) == ("stopped", [])


def test_an_end_may_be_said_again_and_nothing_follows_it(api: ApiClient, run: Run) -> None:
    send(api, run, rows(1, 2), seq=1)
    end = {"status": "failed", "reason": "ValueError: nan", "error": "Traceback …"}
    for _ in range(2):
        shown = api.post(f"/runs/{run.pk}/finish", end).json()
        assert (shown["status"], shown["status_reason"]) == ("failed", "ValueError: nan")
    assert [line["status"] for line in log_of(run, "status")] == ["running", "failed"]
    assert_problem(api.post(f"/runs/{run.pk}/finish", {"status": "completed"}), 409)
    assert send(api, run, rows(1, 2), seq=1).json()["repeated"] == 2
    assert "has failed" in assert_problem(send(api, run, rows(3), seq=3), 409)["detail"]
    assert len(log_of(run)) == 2


def test_a_silent_script_s_run_is_lost_until_its_next_word(api: ApiClient, run: Run) -> None:
    send(api, run, rows(1), seq=1)
    decide_run(Run.objects.get())
    lost = Run.objects.get()
    assert (lost.status, lost.status_reason) == ("lost", "Its script was silent for 300 s.")
    assert lost.finished_at is not None
    send(api, run, rows(2), seq=2)
    back = Run.objects.get()
    assert (back.status, back.attempt, back.finished_at) == ("running", 2, None)
    assert [line["status"] for line in log_of(run, "status")] == ["running", "lost", "running"]


def test_the_watchdog_sees_a_dead_process_of_this_machine_and_waits_for_others(
    api: ApiClient, run: Run
) -> None:
    Watchdog().tick()
    assert Run.objects.get().status == RunStatus.RUNNING
    here = socket.gethostname()
    dead = api.post("/runs/logged", {"host": here, "pid": 2**22 + 1}).json()
    Watchdog().tick()
    gone = Run.objects.get(pk=dead["id"])
    assert (gone.status, gone.status_reason) == ("lost", "Its script's process is gone.")
    # Another process of the script goes on: from now on only silence counts.
    send(api, gone, rows(1))
    Watchdog().tick()
    assert Run.objects.get(pk=gone.pk).status == RunStatus.RUNNING


def test_a_run_is_silent_for_its_readers_before_it_is_given_up(run: Run) -> None:
    assert not run.is_silent
    run.beat_at = timezone.now() - timedelta(seconds=151)
    assert run.is_silent


def test_the_rows_of_a_logged_run_can_be_rebuilt_from_its_directory(
    api: ApiClient, run: Run
) -> None:
    evaluation = {"type": "evaluation", "step": 40, "returns": [4, 8], "seed": 5}
    episode = {"type": "episode", "step": 41, "return": 7, "length": 3}
    send(api, run, [*rows(10), evaluation, episode], seq=1)
    api.post(f"/runs/{run.pk}/finish", {"status": "failed", "reason": "why", "error": "where"})
    before = api.get(f"/runs/{run.pk}").json()
    (told,) = api.get(f"/runs/{run.pk}/evaluations").json()["evaluations"]
    Run.objects.all().delete()
    assert reindex.reindex().refused == {}
    after = api.get(f"/runs/{run.pk}").json()
    times = ("started_at", "finished_at", "elapsed_s")
    assert {k: v for k, v in after.items() if k not in times} == {
        k: v for k, v in before.items() if k not in times
    }
    (again,) = api.get(f"/runs/{run.pk}/evaluations").json()["evaluations"]
    assert {**again, "id": 0} == {**told, "id": 0}


def test_a_rebuilt_run_goes_on_with_its_script_s_next_word(api: ApiClient, run: Run) -> None:
    send(api, run, rows(1), seq=1)
    Run.objects.all().delete()
    reindex.reindex()
    assert Run.objects.get().status == RunStatus.LOST
    receipt = send(api, run, rows(1, 2), seq=1).json()
    assert (receipt["taken"], receipt["repeated"]) == (1, 1)
    assert Run.objects.get().status == RunStatus.RUNNING


def test_seeds_of_one_configuration_are_told_from_another(api: ApiClient) -> None:
    hashes = [
        Run.objects.get(
            pk=api.post("/runs/logged", {**BEGIN, "config": config}).json()["id"]
        ).configuration_hash
        for config in ({"lr": 1, "seed": 1}, {"lr": 1, "seed": 2}, {"lr": 2, "seed": 1})
    ]
    assert hashes[0] == hashes[1] != hashes[2]


def test_batches_are_counted_by_run_and_not_among_a_user_s_other_writes(
    api: ApiClient, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BatchThrottle, "allow_request", lambda self, request: False)
    assert_problem(send(api, run, []), 429)
    monkeypatch.undo()
    throttle = BatchThrottle(1)
    assert throttle.counted_as(send(api, run, []).wsgi_request) == run.pk
    assert api.patch(f"/runs/{run.pk}", {"name": "other"}).status_code == 200


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("films") / "film.mp4"
    return encode(path, "-c:v", "libx264", "-pix_fmt", "yuv420p").read_bytes()


def send_film(api: ApiClient, run: Run, content: bytes, step: Any = 40, kind: str = "") -> Any:
    address = f"/api/v1/runs/{run.pk}/videos?step={step}"
    return api._client.post(address, content, content_type=kind or "video/mp4")


def test_a_film_is_kept_once_served_and_rebuilt(api: ApiClient, run: Run, film: bytes) -> None:
    first, again = send_film(api, run, film), send_film(api, run, film)
    assert (first.status_code, again.status_code) == (201, 200)
    shown = first.json()
    assert shown == again.json()
    assert (shown["width"], shown["height"], shown["step"]) == (64, 48, 40)
    video = run.videos.get()
    assert (run.directory.path / video.path).read_bytes() == film
    assert (run.directory.path / video.poster_path).exists()
    assert len(log_of(run, "film")) == 1
    assert api.get(f"/videos/{video.pk}").json()["file_url"] == shown["file_url"]
    Run.objects.all().delete()
    reindex.reindex()
    assert Run.objects.get().videos.get().size_bytes == len(film)
    assert list(run.directory.films.glob(".*")) == []


def test_what_is_no_film_is_refused_and_not_kept(
    api: ApiClient, run: Run, film: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    (error,) = assert_problem(send_film(api, run, b"RIFF" + bytes(99)), 422)["errors"]
    assert error["field"] == "film"
    assert_problem(send_film(api, run, film[:-500]), 422)
    assert_problem(send_film(api, run, film, kind="image/gif"), 422)
    assert_problem(send_film(api, run, film, step=-1), 422)
    assert_problem(send_film(api, run, film, step=2**60), 422)
    assert_problem(send_film(api, make_run(), film), 409)
    monkeypatch.setattr(logged_videos, "MAX_FILM_BYTES", len(film) - 1)
    assert_problem(send_film(api, run, film), 413)
    monkeypatch.setattr(logged_videos, "MAX_FILMS", 0)
    assert_problem(send_film(api, run, film), 409)
    assert not run.videos.exists()
    assert not run.directory.films.exists() or list(run.directory.films.iterdir()) == []
