"""Log what your own script trains to an rlgym server.

One file on purpose, for Python 3.9 or newer and with nothing but its standard library: copy it
beside your script, or put its folder on the path. `RLGYM_URL` names the server (default
http://127.0.0.1:8000), `RLGYM_TOKEN` lets you in.

    import rlgym_client

    with rlgym_client.init(name="mine", environment="CartPole-v1", config={"lr": 3e-4}) as run:
        for step in range(1000):
            run.log({"loss": 0.3}, step=step)

Logging neither raises into a training loop nor lets it wait: rows are gathered in memory and sent
by a thread. What a server would not take, a name that is too long or a value that is none, is
shortened, escaped or left out, alone and with one warning. While the server is away rows wait,
beyond a bound in a file, and are sent when it is back, each once. What could not be sent when the
script ends stays in that file, which `python rlgym_client.py FILE` sends.
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
import re
import secrets
import shlex
import socket
import stat
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
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields, is_dataclass
from itertools import islice
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
SPILL_EVERY = 100
MAX_UNFILED_ROWS = 100_000  # Likewise, where there is no writing the file.
BATCH_ROWS = 2_000
BATCH_BYTES = 1_000_000  # A server takes 1 MiB.
MAX_STEP = 2**53 - 1
MAX_SEED = 2**32 - 1
MAX_FILM_TRIES = 5
MAX_ANSWER_BYTES = 4_000_000
# What a server takes: metrics of a run, of a row, episodes of an evaluation; bytes of a config.
MAX_KEYS = 5_000
MAX_VALUES = 1_000
MAX_EPISODES = 1_000
MAX_KEY_LENGTH = 200
MAX_CONFIG_BYTES = 60_000
MAX_TEXTS = {"name": 120, "experiment": 120, "algorithm": 40, "environment": 200}
ENDINGS = ("completed", "failed", "stopped")
EPISODE_KEYS = ("episode/return", "episode/length")
HOST = re.compile(r"[A-Za-z0-9._-]{1,150}", re.ASCII)
# How much of a config is kept: characters of a text, entries of a collection; ever less of it,
# until it fits.
ROOMS = ((4_000, 1_000), (500, 100), (60, 10))
MAX_NODES = 20_000
MAX_NESTING = 15
MAX_WARNINGS = 200
# Made once: `json.dumps` makes an encoder for each call that asks for more than its defaults.
_encode = json.JSONEncoder(
    separators=(",", ":"), allow_nan=False, check_circular=False, ensure_ascii=False
).encode

logger = logging.getLogger("rlgym_client")

Row = dict[str, Any]
# What a server that is away, or a wire, may raise.
AWAY = (OSError, http.client.HTTPException, ValueError, RecursionError)
# Refusals of a body, of which a part may be at fault.
AT_FAULT = (400, 413, 422)


class Caught:
    """Keeps what a stranger's value raises, whatever it is, out of the training loop.

    Attributes:
        words: What was raised, empty while nothing was.
    """

    words = ""

    def __enter__(self) -> Caught:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception):
            return False  # Ctrl-C, and a script that ends itself.
        self.words = "".join(traceback.format_exception_only(type(error), error)).strip()[:300]
        return True


class Refused(Exception):
    """The server will not take this, however often it is sent."""

    def __init__(self, status: int, words: str, blamed: Iterable[str] = ()) -> None:
        super().__init__(f"{status} {words}")
        self.status = status
        self.blamed = {*blamed}  # Fields of the body that it names.


class Away(Exception):
    """The server cannot take this now; `pause_s` is how long it asks to wait."""

    def __init__(self, words: str, pause_s: float = 0.0) -> None:
        super().__init__(words)
        self.pause_s = pause_s


class Server:
    """The REST API of one server."""

    def __init__(self, url: str, token: str) -> None:
        self.url = str(url).rstrip("/")
        self.token = str(token)
        # A proxy is for other machines, whatever the environment says.
        is_here = False
        with suppress(ValueError):  # It is no address; whoever asks there hears so.
            is_here = (urllib.parse.urlsplit(self.url).hostname or "") in LOOPBACK
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
        address = f"{self.url}/api/v1{path}"
        try:
            request = urllib.request.Request(address, data, headers, method="POST")
            with self._open(request, timeout=timeout_s) as answer:
                return self._read(answer.read(MAX_ANSWER_BYTES))
        except urllib.error.HTTPError as error:
            return self._refusal(error)
        except AWAY as error:
            raise Away(f"{self.url} does not answer: {error}") from error

    def _refusal(self, error: urllib.error.HTTPError) -> Row:
        try:
            answer = self._read(error.read(MAX_ANSWER_BYTES))
        except AWAY:
            answer = {}
        words = str(answer.get("detail") or error.reason)[:500]
        if error.code == 422 and isinstance(answer.get("receipt"), dict):
            return answer
        if error.code in (408, 429) or error.code >= 500:
            asked = error.headers.get("Retry-After", "")
            pause_s = float(asked) if asked.isdecimal() else 0.0
            raise Away(f"{self.url} answers {error.code} {words}", pause_s)
        errors = answer.get("errors")
        named = [one.get("field") for one in errors or () if isinstance(one, dict)]
        raise Refused(error.code, words, (str(name).partition(".")[0] for name in named))

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

    def __len__(self) -> int:
        return self._n_filed + len(self._rows)

    def add(self, row: Row) -> None:
        """Take one more row."""
        self._rows.append(_encode(row).encode())
        # Again and again where the disk is full, though not for every row.
        if len(self._rows) > MAX_MEMORY_ROWS and len(self._rows) % SPILL_EVERY == 0:
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
        if not self._n_filed:
            with suppress(OSError):  # A file that stays is begun anew by the next that is needed.
                self.path.unlink()

    def spill(self, last: Row | None = None) -> bool:
        """Move every row from memory to the end of the file; say whether that could be done.

        Args:
            last: A line after them, the last one of all.
        """
        lines = [*self._rows, *([json.dumps(last).encode()] if last else [])]
        head = json.dumps({**self._head, "writer": self.writer, "seq": self.first}).encode()
        try:
            self._append(lines if self._n_filed else [head, *lines])
        except (OSError, ValueError) as error:
            # Without a file memory is all there is: the new matters more than the old.
            if last is not None or len(self._rows) > MAX_UNFILED_ROWS:
                self._lose(self._n_filed + len(self._rows) // 2, error)
            return False
        if not self._n_filed:
            self._offset = len(head) + 1
        self._n_filed += len(self._rows)
        self._rows.clear()
        return True

    def _append(self, lines: Sequence[bytes]) -> None:
        """Write lines to the end of the file, all of them or none."""
        if not self._n_filed:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.unlink(missing_ok=True)
        fd = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            size = os.fstat(fd).st_size
            content = memoryview(b"".join(line + b"\n" for line in lines))
            try:
                while content:
                    content = content[os.write(fd, content) :]
            except OSError:  # A disk is full: half a row would spoil the next one.
                os.ftruncate(fd, size)
                raise
        finally:
            os.close(fd)

    def take_over(self, writer: str, first: int, rows: list[bytes]) -> None:
        """Go on with rows that another process left."""
        self.writer, self.first, self._rows = writer, first, rows

    def _filed(self) -> list[bytes]:
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                lines = [file.readline() for _ in range(min(self._n_filed, BATCH_ROWS))]
        except (OSError, ValueError) as error:  # Somebody has removed it.
            self._lose(self._n_filed, error)
            return self._rows[:BATCH_ROWS]
        return [line.rstrip(b"\n") for line in lines]

    def _lose(self, count: int, error: Exception) -> None:
        """Give up the oldest rows. Numbers go on, so the server takes what follows."""
        del self._rows[: count - self._n_filed]
        self._n_filed = 0
        self.first += count
        self.n_dropped += count
        logger.warning("%s rows are lost: %s", count, error)


class Run:
    """A run of your script on the server. Made by `init`; in other processes by `attach`."""

    def __init__(self, server: Server, begin: Row, is_owner: bool, spool: str | None) -> None:
        self.id: str = _line(begin["id"], 80)
        self._place = urllib.parse.quote(self.id, safe="")
        self.url = f"{server.url}/runs/{self._place}/"
        self.stop_reason = ""
        self._server = server
        self._begin = begin
        self._is_owner = is_owner
        self._spool = Path(os.environ.get("RLGYM_SPOOL") or tempfile.gettempdir())
        with Caught():
            self._spool = Path(spool or self._spool)
        self._last_step = -1
        self._is_over = False
        self._names: dict[str, str] = {}  # What a metric's name is sent as.
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
        self._film_tries = 0
        self._outbox = Outbox(
            self._spool / f"rlgym-{self._place}-{writer}.jsonl",
            writer,
            {
                "url": self._server.url,
                "begin": self._begin,
            },
        )
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
        with Caught() as caught:
            for key, value in values.items():
                name = self._names.get(key) if type(key) is str else None
                if name is not None and type(value) is float and math.isfinite(value):
                    numbers[name] = value  # As nearly all are.
                else:
                    self._take(numbers, key, value)
        if caught.words:
            self._warn("values", f"what was given to log() is not all logged: {caught.words}")
        names = [*numbers]
        for first in range(0, len(names), MAX_VALUES):
            some = {name: numbers[name] for name in names[first : first + MAX_VALUES]}
            step = self._add({"values": some}, step)

    def _take(self, numbers: dict[str, Any], key: Any, value: Any) -> None:
        """Take one value of a row, or leave it out alone and say why, once."""
        with Caught() as caught:
            name = self._name_of(key)
            if name:
                numbers[name] = _number(value)
        if caught.words:
            shown = _line(key, 80)
            self._warn(f"value of {shown}", f"{shown} is not logged: {caught.words}")

    def _name_of(self, key: Any) -> str:
        """Return what a metric is sent as; empty when it cannot be sent."""
        text = key if isinstance(key, str) else _told(key)
        if text in self._names:
            return self._names[text]
        name = _line(text, MAX_KEY_LENGTH, without=",")
        if not name or name in EPISODE_KEYS:
            why = "log_episode() is for episodes" if name else "it is empty"
            self._warn(f"name {name}", f"the metric {_line(text, 80)!r} is not logged: {why}")
            return ""
        if len(self._names) >= MAX_KEYS:
            self._warn("names", f"{name!r} is not logged: a run has at most {MAX_KEYS} metrics")
            return ""
        if name != text:
            self._warn(f"name {name}", f"the metric {_line(text, 80)!r} is logged as {name!r}")
        self._names[text] = name
        return name

    def log_episode(
        self, episode_return: Any, length: Any, step: int | None = None, env: int | None = None
    ) -> None:
        """Log that a training episode has ended; `env` numbers parallel environments."""
        row: Row = {"type": "episode"}
        with Caught() as caught:
            row["return"] = _number(episode_return)
            row["length"] = _whole(length, MAX_STEP)
        if caught.words:
            self._warn("episode", f"an episode is not logged: {caught.words}")
            return
        self._add({**row, **self._whole("env", env, MAX_STEP)}, step)

    def log_evaluation(
        self,
        returns: Iterable[Any],
        step: int | None = None,
        lengths: Iterable[Any] = (),
        seed: int | None = None,
        is_deterministic: bool | None = None,
    ) -> None:
        """Log the returns, and the lengths, of the episodes of an evaluation."""
        with Caught() as caught:
            kept = [_number(one) for one in returns]
            if not kept or not all(isinstance(one, (int, float)) for one in kept):
                raise ValueError("its returns must be finite numbers, one or more")
            row: Row = {"type": "evaluation", "returns": kept[:MAX_EPISODES]}
        if caught.words:
            self._warn("evaluation", f"an evaluation is not logged: {caught.words}")
            return
        with Caught() as caught:
            row.update(self._lengths(lengths, len(kept)))
            if is_deterministic is not None:
                row["is_deterministic"] = bool(is_deterministic)
        if caught.words:
            self._warn("lengths", f"an evaluation is not logged in full: {caught.words}")
        if len(kept) > MAX_EPISODES:
            words = f"{MAX_EPISODES} of {len(kept)} episodes of an evaluation are logged"
            self._warn("episodes", words)
        self._add({**row, **self._whole("seed", seed, MAX_SEED)}, step)

    @staticmethod
    def _lengths(lengths: Iterable[Any], count: int) -> Row:
        kept = [_number(one) for one in lengths]
        if kept and (len(kept) != count or not all(isinstance(n, (int, float)) for n in kept)):
            raise ValueError(f"its lengths must be {count} finite numbers, one for each return")
        return {"lengths": kept[:MAX_EPISODES]} if kept else {}

    def _whole(self, name: str, value: Any, greatest: int) -> Row:
        """Return a field with a whole number, no field where it is none."""
        with Caught() as caught:
            return {} if value is None else {name: _whole(value, greatest)}
        self._warn(name, f"{name} is left out: {caught.words}")
        return {}

    def log_video(self, path: str | os.PathLike[str], step: int | None = None) -> None:
        """Send a film, an MP4 that browsers play; the file must stay until it is sent."""
        with Caught() as caught:
            film = str(Path(path).absolute())
            with self._lock:
                self._films.append((film, self._step(step)))
        if caught.words:
            self._warn("film", f"a film is not sent: {caught.words}")
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
                self._end = self._ending(status, reason, error)
            is_idle = not self._is_owner and not (self._rows or self._films or len(self._outbox))
        if is_idle:
            return
        if self._hurry():
            self._done.wait(timeout_s)
        else:
            self._try()
        if not self._done.is_set() or self._is_refused:
            self._done.set()
            self._leave()
        if self._outbox.n_dropped:
            logger.warning("%s rows were lost", self._outbox.n_dropped)

    def _ending(self, status: str, reason: Any, error: Any) -> Row:
        """Return what the server is told at the end."""
        if status not in ENDINGS:
            words = f"{_line(status, 80)!r} is no ending; allowed: {', '.join(ENDINGS)}"
            self._warn("ending", f"{words}; the run ends as completed")
            status = "completed"
        return {
            "status": status,
            "reason": "" if reason is None else _line(reason, 500),
            "error": "" if error is None else _clean(error)[-20_000:],
        }

    def _add(self, row: Row, step: int | None) -> int | None:
        """Take a row; return its step."""
        with self._lock:
            if self._is_over:
                self._warn("over", "the run has ended: what is logged now is lost")
                return step
            with Caught() as caught:
                row["step"] = self._step(step)
            if caught.words:
                self._warn("step", f"a row is not logged: {caught.words}")
                return step
            last = self._rows[-1] if self._rows else {}
            if _fits_into(row, last):
                # Scalars that are logged one by one share a row; the first one's time is theirs.
                last["values"].update(row["values"])
                return int(row["step"])
            row["t"] = time.time()
            self._rows.append(row)
            if len(self._rows) > MAX_WAITING_ROWS:
                del self._rows[: MAX_WAITING_ROWS // 2]
                self._outbox.n_dropped += MAX_WAITING_ROWS // 2
            is_many = len(self._rows) == BATCH_ROWS
        if is_many or self._thread is None:
            self._hurry()
        return int(row["step"])

    def _step(self, step: int | None) -> int:
        number = self._last_step + 1 if step is None else _whole(step, MAX_STEP)
        self._last_step = number
        return number

    def _warn(self, key: str, words: str) -> None:
        if key not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(key)
            logger.warning("%s", _line(words, 600))

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
            if self._is_refused:  # What is logged from now on is for the file.
                if self._is_over:
                    self._done.set()
                continue
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
        with Caught() as caught:
            try:
                self._send()
            except Away as away:
                self._warn("away", f"{away}; rows wait until it is back")
                return away
            except Refused as refused:
                logger.error("run %s cannot be logged any more: %s", self.id, refused)
                self._is_refused = True
        if caught.words:  # Nobody foresaw it; the thread goes on all the same.
            self._warn("unforeseen", f"sending failed and is tried again: {caught.words}")
            return Away(caught.words)
        return None

    def _send(self) -> None:
        self._number_rows()
        if not self._is_begun:
            self._begin_run({**self._begin, **_provenance()})
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
            self._server.post(f"/runs/{self._place}/finish", end)
        if is_all:
            self._done.set()

    def _begin_run(self, body: Row) -> None:
        """Begin the run on the server; without what it refuses rather than not at all."""
        while True:
            try:
                self._server.post("/runs/logged", body)
            except Refused as refused:
                left_out = _at_fault(body, refused)
                if not left_out:
                    raise
                words = f"the run is begun without its {', '.join(sorted(left_out))}: {refused}"
                self._warn(words, words)
                body = {key: value for key, value in body.items() if key not in left_out}
            else:
                return

    def _number_rows(self) -> None:
        with self._outbox_lock:
            with self._lock:
                rows, self._rows = self._rows, []
            for row in rows:
                with Caught() as caught:
                    self._outbox.add(row)
                if caught.words:
                    self._warn("row", f"a row is not sent: {caught.words}")

    def _next_batch(self) -> list[bytes]:
        with self._outbox_lock:
            return self._outbox.peek(self._batch_bytes)

    def _send_batch(self, rows: list[bytes]) -> None:
        head = json.dumps({"writer": self._outbox.writer, "seq": self._outbox.first})
        body = head[:-1].encode() + b', "rows": [' + b",".join(rows) + b"]}"
        try:
            answer = self._server.post(f"/runs/{self._place}/metrics", body, "application/json")
        except Refused as refused:
            if refused.status not in AT_FAULT:
                raise
            if len(rows) > 1:  # One of them is at fault: half of them are tried, then a quarter.
                self._batch_bytes = sum(map(len, rows)) // 2
                return
            answer = {"detail": str(refused), "receipt": {}}
        self._batch_bytes = min(self._batch_bytes * 2, BATCH_BYTES)
        receipt = answer.get("receipt")
        if isinstance(receipt, dict):
            self._warn("refused", f"rows are refused: {answer.get('detail')}")
            answer = receipt
        self.stop_reason = str(answer.get("stop") or self.stop_reason)
        self._sent_at = time.monotonic()
        with self._outbox_lock:
            self._outbox.delivered(rows)

    def _send_film(self, path: str, step: int) -> None:
        """Send a film, or give it up; one that a server is away for is tried some times."""
        address = f"/runs/{self._place}/videos?step={step}"
        try:
            if not stat.S_ISREG(Path(path).stat().st_mode):
                raise OSError("it is no file")  # Of a pipe there may be no end.
            with Path(path).open("rb") as film:
                self._server.post(address, film, "video/mp4", FILM_TIMEOUT_S)
        except (OSError, ValueError, Refused) as error:
            logger.warning("the film %s is not sent: %s", _line(path, 300), error)
        except Away as away:
            self._film_tries += 1
            if self._film_tries < MAX_FILM_TRIES:
                raise
            logger.warning("the film %s is given up: %s", _line(path, 300), away)
        self._film_tries = 0

    def _leave(self) -> None:
        """Keep what was not sent in a file, and say how to send it."""
        self._number_rows()
        for path, _ in self._films:
            logger.warning("the film %s was not sent", _line(path, 300))
        with self._outbox_lock:
            count = len(self._outbox)
            if not count and not self._end:
                return
            is_kept = self._outbox.spill({"finish": self._end} if self._end else None)
        if is_kept:
            script = shlex.quote(globals().get("__file__", "rlgym_client.py"))
            logger.warning(
                "%s rows of run %s were not sent; `python %s %s` sends them",
                count,
                self.id,
                script,
                shlex.quote(str(self._outbox.path)),
            )


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
    warnings: list[str] = []
    begin: Row = {"id": "".join(secrets.choice(ID_ALPHABET) for _ in range(10))}
    texts = {
        "experiment": experiment,
        "name": name,
        "algorithm": algorithm,
        "environment": environment,
    }
    for field, text in texts.items():
        begin[field] = "" if text is None else _line(text, MAX_TEXTS[field])
        if text is not None and begin[field] != _told(text):
            warnings.append(f"the {field} is sent as {begin[field]!r}")
    begin["config"] = _config(config, warnings)
    begin.update(_process())
    for field, value, bounds in (
        ("seed", seed, (0, MAX_SEED)),
        ("total_timesteps", total_timesteps, (1, MAX_STEP)),
    ):
        with Caught() as caught:
            if value is not None:
                begin[field] = _whole(value, bounds[1], bounds[0])
        if caught.words:
            warnings.append(f"{field} is left out: {caught.words}")
    _hook()
    _current = Run(_server(url, token), begin, True, spool)
    for words in warnings:
        _current._warn(words, words)
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


def _whole(value: Any, greatest: int, least: int = 0) -> int:
    """Return a whole number within bounds."""
    number = int(value.item() if hasattr(value, "item") else value)
    if not least <= number <= greatest:
        raise ValueError(f"{number} is not allowed; it must be from {least} to {greatest}")
    return number


def _clean(value: Any) -> str:
    """Return a text of anything that every encoding can hold."""
    text = value if isinstance(value, str) else _told(value)
    # Of a file name whose bytes are no UTF-8, Python makes halves of characters.
    return text.encode("utf-8", "backslashreplace").decode()


def _told(value: Any) -> str:
    """Return what a value says of itself, its type where it fails to."""
    with Caught():
        return str(value)
    return f"<{type(value).__name__}>"


def _line(value: Any, most: int, without: str = "") -> str:
    """Return one line of text, other characters escaped; a long one ends in its checksum.

    Args:
        value: Anything.
        most: Characters that it may have.
        without: Characters to escape beside those that cannot be printed.
    """
    text = _clean(value)
    if len(text) > 100 * most:  # Nobody reads it all, but two that differ stay two.
        text = f"{text[: 2 * most]}{zlib.crc32(text.encode()):08x}"
    text = "".join(
        char if char.isprintable() and char not in without else _escaped(char)
        for char in text.strip()
    ).strip()
    if len(text) <= most:
        return text
    return f"{text[: most - 9].rstrip()}~{zlib.crc32(text.encode()):08x}"


def _escaped(char: str) -> str:
    return f"\\x{ord(char):02x}" if ord(char) < 256 else f"\\u{ord(char):04x}"


def _fits_into(row: Row, last: Row) -> bool:
    """Whether a row has numbers of the same step as the one before it, and of other metrics."""
    if "values" not in row or "values" not in last or row["step"] != last["step"]:
        return False
    if len(row["values"]) + len(last["values"]) > MAX_VALUES:
        return False
    return not row["values"].keys() & last["values"].keys()


class _Plain:
    """Makes of anything what JSON can hold, within bounds.

    Attributes:
        shortened: Names of the outermost entries that were not taken whole.
    """

    def __init__(self, max_text: int, max_entries: int) -> None:
        self.shortened: set[str] = set()
        self._max_text = max_text
        self._max_entries = max_entries
        self._n_left = MAX_NODES
        self._outer: list[int] = []  # What holds the present value: a config may hold itself.
        self._entry = ""

    def read(self, config: Mapping[Any, Any]) -> Row:
        """Return a config entry by entry; one that cannot be read is told as such."""
        found: Row = {}
        with Caught() as going:
            for key, value in config.items():
                self._entry = _line(key, MAX_KEY_LENGTH)
                with Caught() as caught:
                    found[self._entry] = self._value(value)
                if caught.words:
                    found[self._entry] = self._short(f"<{type(value).__name__}>")
        if going.words:  # It is no mapping that can be walked through; what was found is kept.
            self.shortened.add("…")
        return found

    def _short(self, text: str) -> str:
        self.shortened.add(self._entry)
        return text

    def _value(self, value: Any) -> Any:
        self._n_left -= 1
        if value is None or isinstance(value, bool):
            return value
        if self._n_left < 0:
            return self._short("…")
        if isinstance(value, (str, bytes, bytearray)):
            return self._text(value)
        entries = _entries_of(value, self._max_entries)
        if entries is None:
            with Caught():
                return _number(value)
            return self._text(_told(value))
        if id(value) in self._outer or len(self._outer) >= MAX_NESTING:
            return self._short(f"<{type(value).__name__}>")
        self._outer.append(id(value))
        try:
            return self._collection(entries)
        finally:
            self._outer.pop()

    def _text(self, value: Any) -> str:
        text = _clean(value[: self._max_text + 1])
        if len(text) <= self._max_text:
            return text
        return self._short(f"{text[: self._max_text]}… ({len(value)} in all)")

    def _collection(self, entries: Any) -> Any:
        if isinstance(entries, Mapping):
            kept: Row = {}
            for key, inner in entries.items():
                if len(kept) >= self._max_entries:
                    kept["…"] = self._short(f"{len(entries)} in all")
                    break
                kept[_line(key, MAX_KEY_LENGTH)] = self._value(inner)
            return kept
        items = [self._value(inner) for inner in islice(entries, self._max_entries)]
        if len(entries) > self._max_entries:
            items.append(self._short(f"… ({len(entries)} in all)"))
        return items


def _entries_of(value: Any, most: int) -> Any:
    """Return what a collection holds, None where a value is none."""
    if is_dataclass(value) and not isinstance(value, type):
        return {one.name: getattr(value, one.name) for one in fields(value)}
    if isinstance(value, (Mapping, list, tuple, set, frozenset)):
        return value
    # An array of another library; of a long one its own words are shorter.
    if hasattr(value, "tolist") and getattr(value, "ndim", None) and len(value) <= most:
        return value.tolist()
    return None


def _config(config: Any, warnings: list[str]) -> Row:
    """Return what a script was called with, as a server takes it, and say what is not whole."""
    with Caught() as caught:
        if config is None:
            return {}
        is_named = isinstance(config, Mapping) or not hasattr(config, "__dict__")
        entries = _entries_of(config, 0) if is_named or is_dataclass(config) else vars(config)
        given = entries if isinstance(entries, Mapping) else {"config": config}
        for max_text, max_entries in ROOMS:
            plain = _Plain(max_text, max_entries)
            found = plain.read(given)
            if len(_encode(found).encode()) <= MAX_CONFIG_BYTES:
                break
        shortened = plain.shortened | {*_thinned(found)}
        if shortened:
            names = ", ".join(sorted(shortened)[:10])
            warnings.append(f"of the config these are shortened: {names}")
        return found
    warnings.append(f"the config cannot be read: {caught.words}")
    return {}


def _thinned(config: Row) -> Iterable[str]:
    """Take the largest entries out of a config until it is small enough; return their names."""
    sizes = {key: len(_encode([key, value]).encode()) for key, value in config.items()}
    total, taken = sum(sizes.values()), []
    for key in sorted(sizes, key=lambda name: -sizes[name]):
        if total <= MAX_CONFIG_BYTES:
            break
        total -= sizes[key]
        taken.append(key)
        del config[key]
    return taken


def _process() -> Row:
    """Return where this process runs, nothing where its machine's name will not do."""
    host = socket.gethostname()
    return {"host": host, "pid": os.getpid()} if HOST.fullmatch(host) else {}


def _at_fault(body: Row, refused: Refused) -> set[str]:
    """Return the fields to leave out of a body that was refused, none where nothing is left."""
    optional = body.keys() - {"id"}
    if refused.status not in AT_FAULT:
        return set()
    blamed = refused.blamed & optional
    if not blamed:  # The largest are tried first, then all of them.
        blamed = next(({one} for one in ("config", "provenance") if body.get(one)), optional)
    return blamed | ({"host", "pid"} & optional if blamed & {"host", "pid"} else set())


def _provenance() -> Row:
    told = {
        "command": _line(" ".join(map(_clean, sys.argv)), 4_000),
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    try:
        git = ["git", "rev-parse", "HEAD"]
        done = subprocess.run(git, capture_output=True, text=True, timeout=5, check=False)
        told["git_commit"] = _line(done.stdout, 80)
    except (OSError, ValueError, subprocess.SubprocessError):
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


class Damaged(Exception):
    """A file that was left is none, or not readable any more."""


def send_file(path: Path, token: str | None = None) -> int:
    """Send what a script left in a file, and remove it; return how many rows there were.

    A row that is damaged keeps its number, so that the others are known again.

    Raises:
        Damaged: The file cannot be read, or does not say which run it is of.
        Refused: The server will not have it.
        Away: The server cannot take it now.
    """
    try:
        first, *lines = path.read_bytes().split(b"\n")
    except (OSError, ValueError) as error:
        raise Damaged(f"it cannot be read: {error}") from error
    head = _object(first)
    run = _run_of(head, token, path)
    *rows, torn = lines or [b""]
    rows += [torn] if _object(torn) else []  # A script that was killed leaves half a line.
    end = _object(rows[-1]).get("finish") if rows else None
    rows = rows[:-1] if isinstance(end, dict) else rows
    run._outbox.take_over(
        head["writer"], head["seq"], [row if _object(row) else b"null" for row in rows]
    )
    run._end = end if isinstance(end, dict) else None
    run._send()
    with suppress(OSError):  # Sent again, none of it would be taken twice.
        path.unlink()
    return len(rows)


def _run_of(head: Row, token: str | None, path: Path) -> Run:
    """Return the run that a file's first line names."""
    begin = head.get("begin")
    is_whole = (
        isinstance(begin, dict)
        and isinstance(begin.get("id"), str)
        and isinstance(head.get("url"), str)
        and isinstance(head.get("writer"), str)
        and type(head.get("seq")) is int
    )
    if not is_whole:
        raise Damaged("its first line does not say which run it is of; it is no file of a run's")
    run = Run(_server(head["url"], token), begin or {}, False, str(path.parent))
    run._is_over = True
    return run


def _object(line: bytes) -> Row:
    """Return the object of a line, an empty one where it is damaged."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def main(names: Sequence[str]) -> int:
    """Send files that were left; return 1 when one of them could not be sent."""
    if not names:
        sys.stderr.write("Say which files to send: python rlgym_client.py FILE …\n")
        return 1
    code = 0
    for name in names:
        shown = _line(name, 500)
        try:
            sys.stdout.write(f"{shown}: {send_file(Path(name))} rows sent\n")
        except (Damaged, Refused, Away) as error:
            sys.stderr.write(f"{shown}: not sent: {_line(error, 500)}\n")
            code = 1
    return code


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
