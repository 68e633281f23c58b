"""Whatever a script hands to the client: nothing is raised, and the rest of the run arrives."""

import ast
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.api.schemas.logged import LoggedRunIn
from apps.client import rlgym_client
from apps.client.rlgym_client import Away, Damaged, Refused, Run, main, send_file
from apps.foreign.rows import Batch, read_rows
from apps.spec.logged import LoggedSpec
from tests.client.fake_server import FakeServer, begin, wait_until

LAW = settings(
    deadline=None,
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


class Broken:
    """Fails at whatever is asked of it."""

    def __repr__(self) -> str:
        raise ZeroDivisionError("no words")

    __str__ = __repr__

    def __float__(self) -> float:
        raise KeyError("no number")

    def __bool__(self) -> bool:
        raise ArithmeticError("neither")

    @property
    def item(self) -> Any:
        raise LookupError("no item")


class Endless(Mapping[str, Any]):
    """A mapping whose entries end in an error."""

    def __getitem__(self, key: str) -> Any:
        return 1.0

    def __iter__(self) -> Iterator[str]:
        yield "a"
        raise OSError("gone")

    def __len__(self) -> int:
        raise OSError("gone")


@dataclass
class Options:
    rate: float
    lock: Any


def holding_itself() -> list[Any]:
    held: list[Any] = [1]
    held += [held, {"again": held}, held]
    return held


# By number: Hypothesis asks a strategy's values for their words, which some of these refuse.
ODD: list[Any] = [
    10**400,
    10**4000,
    np.float32(1),
    np.int64(3),
    np.zeros(3),
    np.zeros((40, 40)),
    "x" * 9999,
    b"\xff" * 9999,
    Broken(),
    Path("a\udcff"),
    {1, 2},
    1j,
    np.datetime64("2026-01-01"),
    int,
    [0] * 5000,
    {str(n): n for n in range(3000)},
    Options(0.1, Broken()),
    np.array(["a"]),
    os.fsdecode(b"\xff\xfe"),
    float("nan"),
    np.bool_(True),
    holding_itself(),
    Endless(),
]


def odd_value(number: int) -> Any:
    return ODD[number]


texts = st.text(st.characters(), max_size=12)
leaves = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | st.binary(max_size=8)
    | st.integers(0, len(ODD) - 1).map(odd_value)
)
anything = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts | st.integers(), inner),
    max_leaves=6,
)
names = (
    texts
    | st.sampled_from(
        ["", " ", "a,b", "x" * 300, "a\nb", "\udc80", " a ", "episode/return", "loss"]
    )
    | st.integers()
    | st.none()
)


def check_begun(begun: Mapping[str, Any]) -> None:
    """Check that the server would take what a run was begun with."""
    spec = ("algorithm", "environment", "seed", "total_timesteps", "config")
    LoggedRunIn(**begun)
    LoggedSpec.from_dict({name: begun[name] for name in spec if name in begun})
    assert all(len(begun[name]) <= 120 for name in ("name", "experiment"))
    assert all(begun[name].isprintable() for name in ("name", "experiment"))


def check_rows(server: FakeServer) -> list[dict[str, Any]]:
    """Check that the server would take every row, and return what it makes of them."""
    rows = [row for _, row in sorted(server.rows.items())]
    taken, errors = read_rows(Batch(rows), (), time.time() + 5)
    assert errors == []
    return [row for row in taken if row is not None]


@given(anything, st.lists(st.dictionaries(names, anything, max_size=4), max_size=5), anything)
@LAW
def test_whatever_is_handed_over_nothing_is_raised_and_the_rest_arrives(
    server: FakeServer, config: Any, logged: list[Any], odd: Any
) -> None:
    server.rows.clear()
    server.begun.clear()
    run = rlgym_client.init(
        odd,
        odd,
        config,
        algorithm=odd,
        environment=odd,
        seed=odd,
        total_timesteps=odd,
        url=server.url,
        token="t",
    )
    run.log({"before": 1.0}, 0)
    for values in logged:
        run.log(values, odd)
    run.log(odd)
    run.log_episode(odd, odd, odd, env=odd)
    run.log_evaluation(odd, odd, odd, seed=odd, is_deterministic=odd)
    run.log_episode(2.0, 9, 5, env=odd)
    run.log({"after": 2.0}, 6)
    run.finish(odd, odd, odd)
    (begun,) = server.begun.values()
    check_begun(begun)
    rows = check_rows(server)
    values = {key: value for row in rows for key, value in row.get("values", {}).items()}
    assert (values["before"], values["after"]) == (1.0, 2.0)
    assert any(row["type"] == "episode" and row["return"] == 2.0 for row in rows)
    assert server.ends[run.id]["status"] in rlgym_client.ENDINGS


def test_one_oversized_value_is_shortened_and_told_once(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    config = {"lr": 0.1, "text": "x" * 200_000, "path": os.fsdecode(b"caf\xe9"), "seed": 3}
    begin(server, config=config).finish()
    (begun,) = server.begun.values()
    check_begun(begun)
    kept = begun["config"]
    assert (kept["lr"], kept["seed"], kept["path"]) == (0.1, 3, "caf\\udce9")
    assert kept["text"].endswith("… (200000 in all)")
    assert caplog.text.count("of the config these are shortened: text") == 1


def test_many_values_that_are_too_much_together_are_shortened_until_they_fit(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    begin(server, config={"lr": 0.1, **{f"k{n}": "y" * 3000 for n in range(500)}}).finish()
    (begun,) = server.begun.values()
    check_begun(begun)
    assert begun["config"]["lr"] == 0.1
    assert len(begun["config"]) > 400
    assert "of the config these are shortened" in caplog.text


def test_only_the_bad_key_is_escaped_or_dropped_and_told_once(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    with begin(server) as run:
        for step in range(3):
            run.log(
                {
                    "good": 1.0,
                    "a,b": 2.0,
                    "": 3.0,
                    "x" * 300: 4.0,
                    "x" * 301: 5.0,
                    "t\n": 6.0,
                    "episode/return": 7.0,
                    "bad": Broken(),
                    Broken(): 8.0,
                    7: 9.0,
                    "\udc80": 10.0,
                },
                step,
            )
    rows = check_rows(server)
    assert [row["step"] for row in rows] == [0, 1, 2]
    for row in rows:
        assert sorted(row["values"].values()) == [1.0, 2.0, 4.0, 5.0, 6.0, 8.0, 9.0, 10.0]
        assert {"good", "a\\x2cb", "t", "7", "<Broken>", "\\udc80"} < set(row["values"])
    for told in (
        "is logged as 'a\\\\x2cb'",
        "bad is not logged: ",
        "it is empty",
        "log_episode()",
    ):
        assert caplog.text.count(told) == 1


def test_rows_of_many_metrics_are_parted_and_more_than_a_run_may_have_left_out(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    with begin(server) as run:
        run.log({f"k{n}": float(n) for n in range(6000)})
        run.log({"k0": 7.0, "late": 1.0})
    rows = check_rows(server)
    assert [row["step"] for row in rows] == [0, 0, 0, 0, 0, 1]
    assert sum(len(row["values"]) for row in rows[:5]) == 5000
    assert rows[5]["values"] == {"k0": 7.0}
    assert caplog.text.count("at most 5000 metrics") == 1


def test_an_evaluation_keeps_what_can_be_kept(server: FakeServer) -> None:
    with begin(server) as run:
        run.log_evaluation([1.0, 2.0], 1, lengths=[3], seed=-1)
        run.log_evaluation([float("nan")], 2)
        run.log_evaluation(range(3000), 3, lengths=range(3000))
    first, last = check_rows(server)
    assert (first["step"], first["returns"], "lengths" in first) == (1, [1.0, 2.0], False)
    assert (last["step"], last["n_episodes"]) == (3, 1000)


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "locked", "nul"])
@pytest.mark.timeout(30)
def test_a_film_that_is_none_costs_nothing_else(
    server: FakeServer, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    film = tmp_path / (b"caf\xe9.mp4".decode("utf-8", "surrogateescape"))
    if kind == "folder":
        film.mkdir()
    elif kind == "pipe":
        os.mkfifo(film)
    elif kind == "locked":
        film.touch(0o000)
    with begin(server) as run:
        run.log_video("a\0b" if kind == "nul" else film, 1)
        run.log({"a": 1.0}, 2)
    assert server.steps == [2]
    assert server.ends[run.id]["status"] == "completed"
    assert "is not sent" in caplog.text or (kind == "locked" and os.getuid() == 0)


def answering(server: FakeServer, monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """Let a server judge each request before it takes it."""
    take = FakeServer.take

    def judged(self: FakeServer, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        return answer(path, body) or take(self, path, body)

    monkeypatch.setattr(FakeServer, "take", judged)


@pytest.mark.parametrize("status", [400, 413, 422])
@pytest.mark.parametrize("names_it", [True, False])
def test_a_run_is_begun_without_what_its_server_refuses(
    server: FakeServer,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    status: int,
    names_it: bool,
) -> None:
    def answer(path: str, body: bytes) -> Any:
        if path.endswith("/logged") and b"latest" in body:
            errors = [{"field": "name", "message": "reserved"}] if names_it else "none"
            return status, {"detail": "no", "errors": errors}
        return None

    answering(server, monkeypatch, answer)
    with begin(server, name="latest", config={"lr": 0.1}) as run:
        run.log({"a": 1.0}, 1)
    assert server.steps == [1]
    (begun,) = server.begun.values()
    assert begun["id"] == run.id
    assert ("config" in begun) is names_it
    assert "is begun without its" in caplog.text
    assert server.ends[run.id]["status"] == "completed"


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}),
        (502, []),
        (429, {"detail": ["x"]}),
        (200, [1]),
        (200, "text"),
        (422, {"receipt": 7}),
        (422, {"errors": 7}),
        (404, {"detail": {"a": 1}}),
        (302, {}),
        (200, {"receipt": [], "stop": 7}),
    ],
)
def test_odd_answers_lose_nothing(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answer: Any
) -> None:
    seen: list[str] = []

    def at_first(path: str, _: bytes) -> Any:
        seen.append(path)
        return answer if len(seen) == 1 else None

    answering(server, monkeypatch, at_first)
    with begin(server) as run:
        wait_until(lambda: seen, "the odd answer")
        for step in range(5):
            run.log({"a": 1.0}, step)
    left = list(tmp_path.glob("*.jsonl"))
    if left:  # The server would not have the run: its rows are kept, and may be sent later.
        assert answer[0] in (404, 302)
        send_file(left[0], "t")
    assert server.steps == [0, 1, 2, 3, 4]


def test_a_page_in_place_of_an_answer_is_a_server_that_is_away(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rlgym_client.Server, "_read", staticmethod(lambda _: json.loads("<html>")))
    run = begin(server)
    run.log({"a": 1.0}, 1)
    run.finish(timeout_s=0.2)
    assert list(tmp_path.glob("*.jsonl"))


@pytest.mark.parametrize(
    "url", ["", "nowhere", "http://[bad", "http://127.0.0.1:1", "ftp://x", "http://a b/", "\udc80"]
)
def test_an_address_that_is_none_is_a_server_that_is_away(url: str, tmp_path: Path) -> None:
    run = rlgym_client.init(url=url or "http://", token="a\nb", spool=str(tmp_path))
    run.log({"a": 1.0}, 1)
    run.finish(timeout_s=0.2)
    assert len(list(tmp_path.glob("*.jsonl"))) == 1


def test_rows_after_a_refusal_wait_in_the_file_and_not_in_memory(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rlgym_client, "MAX_MEMORY_ROWS", 50)
    server.status = 401
    run = begin(server)
    wait_until(lambda: run._is_refused, "the refusal")
    for step in range(1000):
        run.log({"a": 1.0}, step)
    wait_until(lambda: list(tmp_path.glob("*.jsonl")), "rows to wait in a file")
    run.finish()
    server.status = 200
    (file,) = tmp_path.glob("*.jsonl")
    assert send_file(file, "t") == 1000
    assert server.steps == list(range(1000))


def test_a_disk_that_is_full_for_a_while_costs_no_row(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(rlgym_client, "MAX_MEMORY_ROWS", 50)
    server.status = 500
    run = begin(server)
    for step in range(100):
        run.log({"a": 1.0}, step)
    wait_until(lambda: list(tmp_path.glob("*.jsonl")), "rows to wait in a file")
    write, is_full = os.write, [True]

    def writing(fd: int, content: Any) -> int:
        if is_full[0] and len(content) > 5:
            if len(content) < 50:
                raise OSError(28, "No space left on device")
            return write(fd, bytes(content[:-20]))  # As a disk does that is just full.
        return write(fd, content)

    monkeypatch.setattr(os, "write", writing)
    for step in range(100, 300):
        run.log({"a": 1.0}, step)
    wait_until(lambda: not run._rows, "the thread to take them")
    is_full[0] = False
    for step in range(300, 400):
        run.log({"a": 1.0}, step)
    server.status = 200
    run.finish()
    assert server.steps == list(range(400))
    assert run._outbox.n_dropped == 0


HEAD = {"url": "", "begin": {"id": "k3v9mpt2xa"}, "writer": "w", "seq": 7}


def left(server: FakeServer, tmp_path: Path, *lines: bytes) -> Path:
    (file := tmp_path / "left.jsonl").write_bytes(
        b"\n".join([json.dumps({**HEAD, "url": server.url}).encode(), *lines])
    )
    return file


def test_a_damaged_row_keeps_its_number_and_costs_no_other(
    server: FakeServer, tmp_path: Path
) -> None:
    good = [json.dumps({"step": n, "values": {"a": 1}}).encode() for n in range(3)]
    file = left(server, tmp_path, good[0], b'{"step": \xff\x00', good[1], b"", good[2], b'{"st')
    assert send_file(file, "t") == 5
    assert {number: row and row["step"] for (_, number), row in server.rows.items()} == {
        7: 0,
        8: None,
        9: 1,
        10: None,
        11: 2,
    }
    assert not file.exists()


@given(
    st.binary(max_size=300)
    | st.lists(
        st.sampled_from(
            [
                b"{}",
                b"[]",
                b'{"finish": 7}',
                b'{"finish": {"status": "failed"}}',
                b"\xff",
                b"7",
                b"null",
                json.dumps(HEAD).encode(),
                b'{"url": "x", "begin": {}, "writer": "w", "seq": 1}',
                b'{"step": 1, "values": {"a": 1}}',
                b"[" * 3000,
            ]
        )
    ).map(b"\n".join)
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_sent_or_refused_in_one_line(tmp_path: Path, content: bytes) -> None:
    (file := tmp_path / "left.jsonl").write_bytes(content)
    with suppress(Damaged, Away, Refused):  # No server is there, if the file names one at all.
        assert send_file(file, "t") == 0
        file.write_bytes(content)
    assert file.read_bytes() == content


@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "binary", "away", "none", "utf8"])
def test_the_recovery_command_ends_in_one_line_and_never_in_a_traceback(
    tmp_path: Path, kind: str
) -> None:
    file = tmp_path / "left.jsonl"
    if kind == "utf8":
        file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl"))
    elif kind == "folder":
        file.mkdir()
    elif kind in ("empty", "binary"):
        file.write_bytes(b"" if kind == "empty" else os.urandom(500))
    elif kind == "away":
        file.write_text(json.dumps({**HEAD, "url": "http://127.0.0.1:1"}) + '\n{"step": 1}\n')
    words = [] if kind == "none" else [os.fsencode(file)]
    done = subprocess.run(
        [sys.executable, "-I", rlgym_client.__file__, *words],
        capture_output=True,
        check=False,
        timeout=60,
        env={"LC_ALL": "C", "PATH": ""},
    )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_several_files_are_sent_each_for_itself(
    server: FakeServer,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RLGYM_TOKEN", "t")
    file = left(server, tmp_path, b'{"step": 1, "values": {"a": 1}}', b"")
    assert main([str(tmp_path / "none"), str(file)]) == 1
    said = capsys.readouterr()
    assert "none: not sent: it cannot be read" in said.err
    assert said.out == f"{file}: 1 rows sent\n"
    assert server.steps == [1]


def test_it_is_written_for_python_3_9() -> None:
    ast.parse(Path(rlgym_client.__file__).read_text(), feature_version=(3, 9))


def test_a_run_of_an_odd_id_stays_within_its_address(server: FakeServer, tmp_path: Path) -> None:
    run: Run = rlgym_client.attach("../../x y\udc80", server.url, "t")
    run.log({"a": 1.0}, 1)
    run.finish()
    assert server.steps == [1]
    assert server.requests == ["/api/v1/runs/..%2F..%2Fx%20y%5Cudc80/metrics"]


def test_numbers_beyond_what_python_writes_out_cost_nothing_else(server: FakeServer) -> None:
    with begin(server, config={"huge": 10**5000, "lr": 0.1}, seed=10**5000) as run:
        run.log({"huge": 10**5000, "a": 1.0}, 1)
        run.log({"a": 1.0}, 10**5000)
    (begun,) = server.begun.values()
    assert begun["config"] == {"huge": "<int>", "lr": 0.1}
    assert [row["values"] for row in check_rows(server)] == [{"a": 1.0}]
