"""Log what your own script trains to an rlgym server.

One file on purpose, for Python 3.9 or newer and with nothing but its standard library: copy it
beside your script, or put its folder on the path. `RLGYM_URL` names the server (default
http://127.0.0.1:8000), `RLGYM_TOKEN` lets you in.

    import rlgym_client

    with rlgym_client.init(name="mine", environment="CartPole-v1", config={"lr": 3e-4}) as run:
        for step in range(1000):
            run.log({"loss": 0.3}, step=step)

Logging neither raises into a training loop nor lets it wait: rows are gathered in memory and sent
by a thread. While the server is away they wait, beyond a bound in a file, and are sent when it is
back, each once. What could not be sent when the script ends stays in that file, which
`python rlgym_client.py FILE` sends.
"""

from __future__ import annotations

import atexit
import http.client
import json
import logging
import math
import multiprocessing
import os
import platform
import random
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.error
import urllib.parse
import urllib.request
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, is_dataclass
from multiprocessing import util
from pathlib import Path
from types import TracebackType
from typing import Any

DEFAULT_URL = "http://127.0.0.1:8000"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
ID_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"
SEND_INTERVAL_S = 1.0
SIGN_OF_LIFE_S = 30.0  # Of a script that has nothing to log for a while.
TIMEOUT_S = 10.0
FILM_TIMEOUT_S = 120.0
FINISH_TIMEOUT_S = 30.0
MAX_PAUSE_S = 30.0
MAX_WAITING_ROWS = 100_000  # Logged and not yet taken by the thread.
MAX_MEMORY_ROWS = 20_000  # Taken and not yet sent; more wait in a file.
BATCH_ROWS = 2_000
BATCH_BYTES = 1_000_000  # A server takes 1 MiB.
MAX_STEP = 2**53 - 1
# Made once: `json.dumps` makes an encoder for each call that asks for more than its defaults.
_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
MAX_NESTING = 15

logger = logging.getLogger("rlgym_client")

Row = dict[str, Any]
# What a server that is away, or a wire, may raise.
AWAY = (OSError, http.client.HTTPException, ValueError)
# What a value that is no number may raise when it is asked for one.
NO_NUMBER = (TypeError, ValueError, RuntimeError, OverflowError, AttributeError)


class Refused(Exception):
    """The server will not take this, however often it is sent."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(f"{status} {words}")
        self.status = status


class Away(Exception):
    """The server cannot take this now; `pause_s` is how long it asks to wait."""

    def __init__(self, words: str, pause_s: float = 0.0) -> None:
        super().__init__(words)
        self.pause_s = pause_s


class Server:
    """The REST API of one server."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self.token = token
        # A proxy is for other machines, whatever the environment says.
        is_here = (urllib.parse.urlsplit(url).hostname or "") in LOOPBACK
        proxies = [urllib.request.ProxyHandler({})] if is_here else []
        self._open = urllib.request.build_opener(*proxies).open

    def post(self, path: str, body: Any, kind: str = "", timeout_s: float = TIMEOUT_S) -> Row:
        """Send something and return what is answered, of a batch also when rows are refused.

        Raises:
            Refused: It is no use to send it again.
            Away: It may be taken later.
        """
        data = body if kind else json.dumps(body).encode()
        headers = {
            "Authorization": f"Bearer {self.token}",
            "Content-Type": kind or "application/json",
        }
        if hasattr(data, "fileno"):
            headers["Content-Length"] = str(os.fstat(data.fileno()).st_size)
        request = urllib.request.Request(f"{self.url}/api/v1{path}", data, headers, method="POST")
        try:
            with self._open(request, timeout=timeout_s) as answer:
                return self._read(answer.read())
        except urllib.error.HTTPError as error:
            return self._refusal(error)
        except AWAY as error:
            raise Away(f"{self.url} does not answer: {error}") from error

    def _refusal(self, error: urllib.error.HTTPError) -> Row:
        try:
            answer = self._read(error.read())
        except AWAY:
            answer = {}
        words = answer.get("detail") or str(error.reason)
        if error.code == 422 and "receipt" in answer:
            return answer
        if error.code in (408, 429) or error.code >= 500:
            asked = error.headers.get("Retry-After", "")
            pause_s = float(asked) if asked.isdecimal() else 0.0
            raise Away(f"{self.url} answers {error.code} {words}", pause_s)
        raise Refused(error.code, words)

    @staticmethod
    def _read(content: bytes) -> Row:
        answer = json.loads(content or b"{}")
        return answer if isinstance(answer, dict) else {}


class Outbox:
    """Numbered rows on their way: the latest in memory, older ones beyond a bound in a file.

    The file's first line says where the rows belong, each further one is a row, in order.
    """

    def __init__(self, path: Path, writer: str, head: Row) -> None:
        self.path = path
        self.writer = writer
        self.first = 1  # Number of the first row that is not delivered.
        self.n_dropped = 0
        self._head = head
        self._rows: list[bytes] = []
        self._n_filed = 0
        self._offset = 0
        self._is_closed = False

    def __len__(self) -> int:
        return self._n_filed + len(self._rows)

    def add(self, row: Row) -> None:
        """Take one more row."""
        self._rows.append(_encode(row).encode())
        if len(self._rows) > MAX_MEMORY_ROWS:
            self.spill()

    def peek(self, max_bytes: int) -> list[bytes]:
        """Return the first rows that are not delivered, as many as go into one batch."""
        rows: list[bytes] = []
        size = 0
        for row in self._filed() if self._n_filed else self._rows[:BATCH_ROWS]:
            size += len(row) + 1
            if rows and size > max_bytes:
                break
            rows.append(row)
        return rows

    def delivered(self, rows: Sequence[bytes]) -> None:
        """Forget the first rows, which `peek` returned."""
        self.first += len(rows)
        if not self._n_filed:
            del self._rows[: len(rows)]
            return
        self._n_filed -= len(rows)
        self._offset += sum(len(row) + 1 for row in rows)
        if not self._n_filed and not self._is_closed:
            self.path.unlink(missing_ok=True)

    def spill(self, last: Row | None = None) -> None:
        """Move every row from memory to the end of the file; `last` is a line after them."""
        self._is_closed = last is not None
        lines = [*self._rows, *([json.dumps(last).encode()] if last else [])]
        if not self._n_filed:
            head = {**self._head, "writer": self.writer, "seq": self.first}
            self.path.unlink(missing_ok=True)
            lines.insert(0, json.dumps(head).encode())
            self._offset = len(lines[0]) + 1
        try:
            fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with os.fdopen(fd, "ab") as file:
                file.write(b"".join(line + b"\n" for line in lines))
        except OSError as error:
            # Without a file memory is all there is: the new matters more than the old.
            self._lose(self._n_filed + len(self._rows) // 2, error)
            return
        self._n_filed += len(self._rows)
        self._rows.clear()

    def take_over(self, path: Path, head: Row, n_rows: int, offset: int) -> None:
        """Go on with a file that another process left."""
        self.path, self.writer, self.first = path, head["writer"], head["seq"]
        self._n_filed, self._offset, self._is_closed = n_rows, offset, True

    def _filed(self) -> list[bytes]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                lines = [file.readline() for _ in range(min(self._n_filed, BATCH_ROWS))]
        except OSError as error:  # Somebody has removed it.
            self._lose(self._n_filed, error)
            return self._rows[:BATCH_ROWS]
        return [line.rstrip(b"\n") for line in lines]

    def _lose(self, count: int, error: OSError) -> None:
        """Give up the oldest rows. Numbers go on, so the server takes what follows."""
        del self._rows[: count - self._n_filed]
        self._n_filed = 0
        self.first += count
        self.n_dropped += count
        logger.warning("%s rows are lost: %s", count, error)


class Run:
    """A run of your script on the server. Made by `init`; in other processes by `attach`."""

    def __init__(self, server: Server, begin: Row, is_owner: bool, spool: str | None) -> None:
        self.id: str = begin["id"]
        self.url = f"{server.url}/runs/{self.id}/"
        self.stop_reason = ""
        self._server = server
        self._begin = begin
        self._is_owner = is_owner
        self._spool = Path(spool or os.environ.get("RLGYM_SPOOL") or tempfile.gettempdir())
        self._last_step = -1
        self._is_over = False
        self._start_over()
        _runs.add(self)

    def _start_over(self) -> None:
        """Begin as a process of its own does: with nothing to send, and numbers from 1."""
        writer = secrets.token_hex(8)
        # A training loop waits for the first lock only, which is held for moments. Whoever needs
        # both takes the other one first; neither is held while something is sent.
        self._lock = threading.Lock()
        self._outbox_lock = threading.Lock()
        self._wake = threading.Event()
        self._done = threading.Event()
        self._rows: list[Row] = []
        self._films: list[tuple[str, int]] = []
        self._outbox = Outbox(self._spool / f"rlgym-{self.id}-{writer}.jsonl", writer, {
            "url": self._server.url, "begin": self._begin,
        })  # fmt: skip
        self._end: Row | None = None
        self._is_begun = len(self._begin) == 1  # Attached to, by its id alone.
        self._is_refused = False
        self._batch_bytes = BATCH_BYTES
        self._sent_at = time.monotonic()
        self._thread: threading.Thread | None = None
        self._warned: set[str] = set()

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.finish(*_ending_of(error))

    def __reduce__(self) -> tuple[Callable[..., Run], tuple[Any, ...]]:
        return _rejoin, (self._server.url, self._server.token, self._begin, str(self._spool))

    @property
    def should_stop(self) -> bool:
        """Whether somebody has asked on the run's page that the script end; look now and then."""
        return bool(self.stop_reason)

    def log(self, values: Mapping[str, Any], step: int | None = None) -> None:
        """Log numbers of one step; without a step, of the one after the last.

        Numbers may be those of NumPy, torch and others that have `item()`; NaN and Inf are kept.
        """
        numbers: dict[str, Any] = {}
        if not hasattr(values, "items"):
            self._warn("values", f"{values!r:.80} is not logged: it is no mapping")
            return
        for key, value in values.items():
            if type(value) is float and type(key) is str and math.isfinite(value):
                numbers[key] = value  # As nearly all are.
                continue
            try:
                numbers[str(key)] = _number(value)
            except NO_NUMBER as error:
                self._warn(str(key), f"{key} is not logged: {error}")
        if numbers:
            self._add({"values": numbers}, step)

    def log_episode(
        self, episode_return: Any, length: Any, step: int | None = None, env: int | None = None
    ) -> None:
        """Log that a training episode has ended; `env` numbers parallel environments."""
        try:
            row: Row = {
                "type": "episode",
                "return": _number(episode_return),
                "length": int(length),
            }
            row.update({} if env is None else {"env": int(env)})
        except NO_NUMBER as error:
            self._warn("episode", f"an episode is not logged: {error}")
        else:
            self._add(row, step)

    def log_evaluation(
        self,
        returns: Iterable[Any],
        step: int | None = None,
        lengths: Iterable[Any] = (),
        seed: int | None = None,
        is_deterministic: bool | None = None,
    ) -> None:
        """Log the returns, and the lengths, of the episodes of an evaluation."""
        try:
            row: Row = {"type": "evaluation", "returns": [_number(one) for one in returns]}
            row["lengths"] = [_number(one) for one in lengths]
        except NO_NUMBER as error:
            self._warn("evaluation", f"an evaluation is not logged: {error}")
            return
        row |= {"seed": seed, "is_deterministic": is_deterministic}
        self._add({key: value for key, value in row.items() if value not in (None, [])}, step)

    def log_video(self, path: str | os.PathLike[str], step: int | None = None) -> None:
        """Send a film, an MP4 that browsers play; the file must stay until it is sent."""
        try:
            with self._lock:
                self._films.append((str(Path(path).absolute()), self._step(step)))
        except NO_NUMBER as error:
            self._warn("film", f"a film is not sent: {error}")
        else:
            self._hurry()

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None) -> None:
        """Log one number as TensorBoard's `SummaryWriter` does."""
        self.log({tag: scalar_value}, global_step)

    def close(self) -> None:
        """End the run as completed, as TensorBoard's `SummaryWriter` is closed."""
        self.finish()

    def finish(
        self,
        status: str = "completed",
        reason: str = "",
        error: str = "",
        timeout_s: float = FINISH_TIMEOUT_S,
    ) -> None:
        """Send what is left and end the run; what cannot be sent in time stays in a file.

        Args:
            status: `completed`, `failed` or `stopped`.
            reason: Why, in one line.
            error: A traceback.
            timeout_s: How long to wait for the server.
        """
        with self._lock:
            if self._is_over:
                return
            self._is_over = True
            if self._is_owner:
                status = "stopped" if self.should_stop and status == "completed" else status
                self._end = {"status": status, "reason": reason[:500], "error": error[-20_000:]}
            is_idle = not self._is_owner and not (self._rows or self._films or len(self._outbox))
        if is_idle:
            return
        if self._hurry():
            self._done.wait(timeout_s)
        else:
            self._try()
        if not self._done.is_set() or self._is_refused:
            self._leave()
        if self._outbox.n_dropped:
            logger.warning("%s rows were lost", self._outbox.n_dropped)

    def _add(self, row: Row, step: int | None) -> None:
        with self._lock:
            if self._is_over:
                self._warn("over", "the run has ended: what is logged now is lost")
                return
            try:
                row["step"] = self._step(step)
            except NO_NUMBER as error:
                self._warn("step", f"a row is not logged: {error}")
                return
            last = self._rows[-1] if self._rows else {}
            if _fits_into(row, last):
                # Scalars that are logged one by one share a row; the first one's time is theirs.
                last["values"].update(row["values"])
                return
            row["t"] = time.time()
            self._rows.append(row)
            if len(self._rows) > MAX_WAITING_ROWS:
                del self._rows[: MAX_WAITING_ROWS // 2]
                self._outbox.n_dropped += MAX_WAITING_ROWS // 2
            is_many = len(self._rows) == BATCH_ROWS
        if is_many or self._thread is None:
            self._hurry()

    def _step(self, step: int | None) -> int:
        number = self._last_step + 1 if step is None else int(step)
        if not 0 <= number <= MAX_STEP:
            raise ValueError(f"step {number} is not allowed; it must be from 0 to {MAX_STEP}")
        self._last_step = number
        return number

    def _warn(self, key: str, words: str) -> None:
        if key not in self._warned:
            self._warned.add(key)
            logger.warning(words)

    def _hurry(self) -> bool:
        """Wake the thread; start it where none runs yet. False when the interpreter is ending."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._work, name=f"rlgym-{self.id}", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return False
                self._thread = thread
        self._wake.set()
        return True

    def _work(self) -> None:
        """Send, until the run is over and everything is sent or given up."""
        failures, not_before = 0, 0.0
        while not self._done.is_set():
            self._wake.wait(SEND_INTERVAL_S)
            self._wake.clear()
            self._number_rows()
            if time.monotonic() < not_before and not self._is_over:
                continue
            if away := self._try():
                failures += 1
                pause_s = min(2.0**failures, MAX_PAUSE_S) * random.uniform(0.5, 1.0)
                not_before = time.monotonic() + max(pause_s, min(away.pause_s, 2 * MAX_PAUSE_S))
            else:
                failures = 0

    def _try(self) -> Away | None:
        """Send what there is; return why it cannot be done now, None when it is done or over."""
        try:
            self._send()
        except Away as away:
            self._warn("away", f"{away}; rows wait until it is back")
            return away
        except Refused as refused:
            logger.error("run %s cannot be logged any more: %s", self.id, refused)
            self._is_refused = True
            self._done.set()
        return None

    def _send(self) -> None:
        self._number_rows()
        if not self._is_begun:
            self._server.post("/runs/logged", {**self._begin, **_provenance()})
            self._is_begun = True
        while batch := self._next_batch():
            self._send_batch(batch)
        while self._films:
            self._send_film(*self._films[0])
            with self._lock:
                del self._films[0]
        if time.monotonic() - self._sent_at > SIGN_OF_LIFE_S:
            self._send_batch([])
        with self._lock:
            end = self._end
            is_all = self._is_over and not (self._rows or len(self._outbox) or self._films)
        if is_all and end:
            self._server.post(f"/runs/{self.id}/finish", end)
        if is_all:
            self._done.set()

    def _number_rows(self) -> None:
        with self._outbox_lock:
            with self._lock:
                rows, self._rows = self._rows, []
            for row in rows:
                self._outbox.add(row)

    def _next_batch(self) -> list[bytes]:
        with self._outbox_lock:
            return self._outbox.peek(self._batch_bytes)

    def _send_batch(self, rows: list[bytes]) -> None:
        head = json.dumps({"writer": self._outbox.writer, "seq": self._outbox.first})
        body = head[:-1].encode() + b', "rows": [' + b",".join(rows) + b"]}"
        try:
            answer = self._server.post(f"/runs/{self.id}/metrics", body, "application/json")
        except Refused as refused:
            if refused.status not in (400, 413):
                raise
            if len(rows) > 1:  # One of them is at fault: half of them are tried, then a quarter.
                self._batch_bytes = sum(map(len, rows)) // 2
                return
            answer = {"detail": str(refused), "receipt": {}}
        self._batch_bytes = min(self._batch_bytes * 2, BATCH_BYTES)
        if "receipt" in answer:
            self._warn("refused", f"rows are refused: {answer.get('detail')}")
        receipt = answer.get("receipt", answer)
        self.stop_reason = receipt.get("stop") or self.stop_reason
        self._sent_at = time.monotonic()
        with self._outbox_lock:
            self._outbox.delivered(rows)

    def _send_film(self, path: str, step: int) -> None:
        address = f"/runs/{self.id}/videos?step={step}"
        try:
            with Path(path).open("rb") as film:
                self._server.post(address, film, "video/mp4", FILM_TIMEOUT_S)
        except (OSError, Refused) as error:
            logger.warning("the film %s is not sent: %s", path, error)

    def _leave(self) -> None:
        """Keep what was not sent in a file, and say how to send it."""
        self._done.set()
        self._number_rows()
        with self._outbox_lock:
            count = len(self._outbox)
            self._outbox.spill({"finish": self._end} if self._end else None)
        for path, _ in self._films:
            logger.warning("the film %s was not sent", path)
        logger.warning(
            "%s rows of run %s were not sent; `python %s %s` sends them",
            count, self.id, __file__, self._outbox.path,
        )  # fmt: skip


_runs: weakref.WeakSet[Run] = weakref.WeakSet()
_current: Run | None = None
_crash: BaseException | None = None
_is_hooked = False


def init(
    experiment: str = "",
    name: str = "",
    config: Any = None,
    *,
    algorithm: str = "",
    environment: str = "",
    seed: int | None = None,
    total_timesteps: int | None = None,
    url: str | None = None,
    token: str | None = None,
    spool: str | None = None,
) -> Run:
    """Begin a run and make it the one that this module's own functions log to.

    Does not wait for the server: the run's `id` and `url` are known at once.

    Args:
        experiment: What it belongs to; made when it is new.
        name: Its name; empty makes one of what follows.
        config: What your script was called with: a mapping, a namespace or a dataclass.
        algorithm: What trains, in your words.
        environment: What it trains in.
        seed: Its seed; by default the config's.
        total_timesteps: Steps that it means to do, for its progress.
        url: The server, by default `RLGYM_URL`.
        token: An API token, by default `RLGYM_TOKEN`.
        spool: Folder for what cannot be sent, by default `RLGYM_SPOOL`, else the temporary one.
    """
    global _current
    begin: Row = {
        "id": "".join(secrets.choice(ID_ALPHABET) for _ in range(10)),
        "experiment": experiment,
        "name": name,
        "algorithm": algorithm,
        "environment": environment,
        "config": _plain(_as_mapping(config)),
        "host": socket.gethostname(),
        "pid": os.getpid(),
    }
    beside = {"seed": seed, "total_timesteps": total_timesteps}
    begin |= {key: int(value) for key, value in beside.items() if value is not None}
    _hook()
    _current = Run(_server(url, token), begin, True, spool)
    _current._hurry()
    return _current


def attach(run_id: str, url: str | None = None, token: str | None = None) -> Run:
    """Log to a run that another process has begun; ending it is left to that one."""
    _hook()
    return Run(_server(url, token), {"id": run_id}, False, None)


def _rejoin(url: str, token: str, begin: Row, spool: str) -> Run:
    """Make, in another process, the run that was sent there."""
    _hook()
    return Run(Server(url, token), begin, False, spool)


def _server(url: str | None, token: str | None) -> Server:
    return Server(
        url or os.environ.get("RLGYM_URL") or DEFAULT_URL,
        token or os.environ.get("RLGYM_TOKEN", ""),
    )


def current() -> Run:
    """Return the run that `init` began last.

    Raises:
        RuntimeError: There is none.
    """
    if _current is None:
        raise RuntimeError("no run was begun: call rlgym_client.init() first")
    return _current


def log(values: Mapping[str, Any], step: int | None = None) -> None:
    """Log numbers to the current run; see `Run.log`."""
    current().log(values, step)


def finish(status: str = "completed", reason: str = "") -> None:
    """End the current run; see `Run.finish`."""
    current().finish(status, reason)


def _number(value: Any) -> Any:
    """Return a number as JSON can hold it; NaN and Inf become their names."""
    if type(value) is not float and type(value) is not int:
        if isinstance(value, (str, bytes)):
            raise TypeError(f"{value!r} is no number")
        value = value.item() if hasattr(value, "item") else value
        value = value if isinstance(value, (int, float)) else float(value)
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else _number(float(value))
    if math.isfinite(value):
        return value
    return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"


def _fits_into(row: Row, last: Row) -> bool:
    """Whether a row has numbers of the same step as the one before it, and of other metrics."""
    if "values" not in row or "values" not in last or row["step"] != last["step"]:
        return False
    return not row["values"].keys() & last["values"].keys()


def _as_mapping(config: Any) -> Any:
    if is_dataclass(config) and not isinstance(config, type):
        return asdict(config)
    return config if isinstance(config, Mapping) else vars(config) if config else {}


def _plain(value: Any, depth: int = 0) -> Any:
    """Return a value as JSON can hold it; what it cannot hold becomes text."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, Mapping) and depth < MAX_NESTING:
        return {str(key): _plain(inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)) and depth < MAX_NESTING:
        return [_plain(inner, depth + 1) for inner in value]
    try:
        return _number(value)
    except NO_NUMBER:
        return str(value)


def _provenance() -> Row:
    told = {
        "command": " ".join(sys.argv),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    try:
        git = ["git", "rev-parse", "HEAD"]
        done = subprocess.run(git, capture_output=True, text=True, timeout=5, check=False)
        told["git_commit"] = done.stdout.strip()
    except (OSError, subprocess.SubprocessError):
        pass
    return {"provenance": {key: value for key, value in told.items() if value}}


def _ending_of(error: BaseException | None) -> tuple[str, str, str]:
    """Return status, reason and traceback of a script that ends with an error, or without one."""
    if error is None or (isinstance(error, SystemExit) and not error.code):
        return "completed", "", ""
    if isinstance(error, KeyboardInterrupt):
        return "stopped", "Interrupted.", ""
    kind = type(error)
    words = "".join(traceback.format_exception_only(kind, error)).strip()
    trace = "".join(traceback.format_exception(kind, error, error.__traceback__))
    return "failed", words.splitlines()[-1], trace


def _hook() -> None:
    """Once: see what ends the script, and what forks off it."""
    global _is_hooked
    if _is_hooked:
        return
    _is_hooked = True
    previous = sys.excepthook

    def note(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        global _crash
        _crash = error
        previous(kind, error, trace)

    sys.excepthook = note
    atexit.register(_at_exit)
    os.register_at_fork(after_in_child=_after_fork)
    # Processes of `multiprocessing` end without what `atexit` has registered.
    util.register_after_fork(_at_exit, _finalize)
    if multiprocessing.parent_process():
        _finalize()


def _at_exit() -> None:
    for run in list(_runs):
        run.finish(*_ending_of(_crash))


def _finalize(_: object = None) -> None:
    util.Finalize(None, _at_exit, exitpriority=100)


def _after_fork() -> None:
    """In a forked child: what the parent has gathered is the parent's to send."""
    for run in list(_runs):
        run._is_owner = False
        run._start_over()


def send_file(path: Path, token: str | None = None) -> int:
    """Send what a script left in a file, and remove it; return how many rows there were.

    Raises:
        Refused: The server will not have it.
        Away: The server cannot take it now.
    """
    lines = [line for line in path.read_bytes().split(b"\n") if _is_json(line)]
    head, rows = json.loads(lines[0]), lines[1:]
    end = json.loads(rows[-1]).get("finish") if rows else None
    n_rows = len(rows) - bool(end)
    run = Run(_server(head["url"], token), head["begin"], False, str(path.parent))
    run._outbox.take_over(path, head, n_rows, len(lines[0]) + 1)
    run._end, run._is_over = end, True
    run._send()
    path.unlink(missing_ok=True)
    return n_rows


def _is_json(line: bytes) -> bool:
    """Whether a line is whole: the last one of a script that was killed may not be."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


if __name__ == "__main__":
    for file_name in sys.argv[1:]:
        sys.stdout.write(f"{file_name}: {send_file(Path(file_name))} rows sent\n")
