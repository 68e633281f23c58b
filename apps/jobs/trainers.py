"""Trainer processes: start one, speak to it, end it, and keep a warm one in reserve.

A trainer runs in a session of its own, so a Ctrl-C meant for a worker does not reach it; it takes
the end of its stdin as the death of its supervisor. It is asked before it is forced.
"""

import functools
import json
import logging
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from types import TracebackType
from typing import IO, Any, Self, cast

import psutil
from django.conf import settings

from apps.jobs.module_files import fingerprint
from apps.protocol import messages
from apps.spec.run import RunSpec

# What a trainer's environment has unless somebody set it otherwise.
DEFAULTS = {
    "CUDA_DEVICE_ORDER": "PCI_BUS_ID",  # As the driver numbers GPUs, whose memory is looked at.
    # What backend sbx compiled in one process serves the next: 6 s of CPU time for SAC.
    "JAX_COMPILATION_CACHE_DIR": str(settings.COMPILED_FOLDER),
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(256 << 20),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    # A network that reads pictures takes and leaves tens of MB a minibatch, which the C library
    # would give back and fetch again page by page: a fifth of the time of PPO on Breakout.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(256 << 20),
    # Threads of one network look for work a moment longer before they sleep, since they meet again
    # at once. Thirty times as long, and they take the time of the run beside theirs.
    "GOMP_SPINCOUNT": "3000",
}
START_LIMIT_S = 60.0  # For the interpreter to start and import, on a busy machine.
KILL_WAIT_S = 2.0
STDERR_TAIL_BYTES = 16_384
TRAINER = ("apps.engine",)
DESCRIBER = ("apps.engine.describer",)
CHECKER = ("apps.engine.checker",)

logger = logging.getLogger(__name__)


class TrainerFailed(Exception):
    """A trainer process could not do what it was asked to."""


class TrainerProcess:
    """One process of the engine, from its start to its last reply.

    Attributes:
        phase: What it said last of what it is at, None when it said nothing yet.
    """

    def __init__(self, *module_and_flags: str) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as self
        self._process = subprocess.Popen(
            [sys.executable, "-m", *module_and_flags, *_common_flags()],
            cwd=settings.BASE_DIR,
            env={**DEFAULTS, **os.environ, "OMP_WAIT_POLICY": "PASSIVE"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            start_new_session=True,
        )
        self._reply: messages.Reply | None = None
        self.phase: messages.Reply | None = None
        # A reply may be larger than a pipe holds, so somebody must always be reading.
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # The process is gone, so a broken pipe says nothing new.
            self._process.stdin.close()
        self._reader.join(KILL_WAIT_S)
        self._stderr.close()

    @property
    def pid(self) -> int:
        """The process id, which is its process group's too."""
        return self._process.pid

    def send(self, message: messages.Job | messages.Request) -> None:
        """Write one line to the process; one that is gone says so by its exit, not here."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):
            self._process.stdin.write(messages.encode(message))
            self._process.stdin.flush()

    def wait(self, timeout_s: float) -> bool:
        """Wait for the process to end; False when it still runs."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        self._reader.join(KILL_WAIT_S)
        return True

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process.poll() is None

    def processor_s(self) -> float:
        """Return the processor time that the process and its children took so far, in seconds."""
        total = 0.0
        with suppress(psutil.Error):  # Any of them may end between two questions.
            process = psutil.Process(self.pid)
            for each in (process, *process.children(recursive=True)):
                times = each.cpu_times()
                total += times.user + times.system
        return total

    def kill(self) -> None:
        """End the process and all that it started: asked by SIGTERM, then forced.

        What an environment starts (a simulator, workers) is in the same group and often outlives
        the process, even one that ended in order.
        """
        if self.is_running():
            self._signal_group(signal.SIGTERM)
            self.wait(KILL_WAIT_S)
        self._signal_group(signal.SIGKILL)
        self._process.wait()

    def _signal_group(self, number: signal.Signals) -> None:
        # macOS refuses a signal to a group of zombies only; elsewhere there is no such group.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def reply(self) -> messages.Reply:
        """Return the last word of a process that has ended.

        One that was killed or broke before it could speak is given words here.
        """
        if self._reply is not None and self._reply["reply"] != "ready":
            return self._reply
        code = self._process.returncode
        if code is not None and code < 0:
            name = signal.Signals(-code).name
            return {"reply": "crashed", "message": f"Its process was killed by {name}."}
        doing = f"while {self.phase['message']}" if self.phase else "before it could start"
        return {
            "reply": "crashed",
            "message": f"Its process ended with code {code} by itself, {doing}.",
            "traceback": self.stderr_tail(),
        }

    @property
    def left_by_itself(self) -> bool:
        """Whether the process was at work and ended without a word, and nobody's signal did it."""
        has_spoken = self._reply is not None and self._reply["reply"] != "ready"
        return not has_spoken and self.phase is not None and (self._process.returncode or 0) >= 0

    @property
    def was_killed(self) -> bool:
        """Whether a signal ended the process before it could say anything."""
        has_spoken = self._reply is not None and self._reply["reply"] != "ready"
        return not has_spoken and (self._process.returncode or 0) < 0

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                try:
                    said = cast(messages.Reply, messages.decode(line, "reply"))
                except messages.BadLine:
                    continue  # Something printed before stdout was redirected.
                if said["reply"] == "phase":
                    self.phase = said
                else:
                    self._reply = said

    @property
    def gave_up_at(self) -> str | None:
        """Where the process was when its own time limit ended it; None when it did not."""
        if self._reply is not None and self._reply["reply"] != "ready":
            return None
        _, mark, stacks = self.stderr_tail().partition("Timeout (")
        return _innermost(stacks) if mark else None

    def stderr_tail(self) -> str:
        """Return the end of what the process wrote to its standard error."""
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - STDERR_TAIL_BYTES))
        return self._stderr.read().decode(errors="replace")


def _common_flags() -> tuple[str, ...]:
    return "--supervised", "--path", str(settings.ENVIRONMENTS_FOLDER)


def _innermost(stacks: str) -> str:
    """Return the innermost place of the main thread in stacks that faulthandler has printed."""
    blocks = [block for block in stacks.split("\n\n") if "in main" in block]
    frames = re.findall(r'File "([^"]+)", line (\d+) in (\S+)', blocks[-1] if blocks else stacks)
    return "{2} ({0}, line {1})".format(*frames[0]) if frames else "an unknown place"


class Reserve:
    """Keeps one warm trainer, so that a click shows its first metric in a fraction of a second.

    A warm trainer has imported everything and run two tiny jobs; it waits for its one job and is
    replaced when taken. It costs about 300 MB of memory while it waits (docs/settings.md), hence
    the switch. The tiny jobs cost a second of processor time: while others wait in the queue the
    next trainer is started ahead, and does without them.
    """

    def __init__(self, is_enabled: bool) -> None:
        self._is_enabled = is_enabled
        self._lock = threading.Lock()
        self._waiting: TrainerProcess | None = None

    def fill(self, should_warm: bool = True) -> None:
        """Start the waiting trainer if there is none."""
        flags = ("--warm",) if should_warm else ()
        with self._lock:
            if not self._is_enabled or (self._waiting and self._waiting.is_running()):
                return
            try:
                self._waiting = TrainerProcess(*TRAINER, *flags)
            except OSError as error:  # Whoever needs one starts its own.
                logger.warning("no trainer waits in reserve: %s", error)

    def take(self) -> TrainerProcess:
        """Return a trainer without a job, warm if one waits; call `fill` once it is at work."""
        with self._lock:
            taken, self._waiting = self._waiting, None
        if taken is not None and taken.is_running():
            return taken
        return TrainerProcess(*TRAINER)

    def close(self) -> None:
        """End the waiting trainer."""
        with self._lock:
            taken, self._waiting, self._is_enabled = self._waiting, None, False
        if taken is not None:
            with taken:
                taken.kill()


def describe(spec: RunSpec) -> dict[str, Any]:
    """Construct a spec's environment in a process of its own and return its description.

    Raises:
        TrainerFailed: It cannot be made, crashes, or takes longer than `CHECK_LIMIT_S`.
    """
    job: messages.DescribeJob = {
        "job": "describe",
        "environment": spec.environment,
        "kwargs": spec.environment_kwargs,
        "wrappers": spec.wrappers,
        "frame_stack": spec.frame_stack,
    }
    paths = [wrapper if isinstance(wrapper, str) else wrapper["path"] for wrapper in spec.wrappers]
    modules = [path.partition(":")[0] for path in (spec.environment, *paths) if ":" in path]
    versions = [fingerprint(module, settings.ENVIRONMENTS_FOLDER) for module in modules]
    return _describe(json.dumps(job, sort_keys=True), "".join(versions))


@functools.lru_cache(maxsize=256)
def _describe(job_json: str, version: str) -> dict[str, Any]:
    job = cast(messages.DescribeJob, json.loads(job_json))
    return ask_describer(job, f"{job['environment']} could not be described")


def ask_describer(
    job: messages.DescribeJob | messages.DiscoverJob, refusal: str
) -> dict[str, Any]:
    """Have one job done by a describer and return its result.

    Raises:
        TrainerFailed: It was refused, crashed, or took longer than `CHECK_LIMIT_S`.
    """
    limit_s = settings.CHECK_LIMIT_S
    with TrainerProcess(*DESCRIBER) as process:
        process.send(cast(messages.Job, {**job, "limit_s": limit_s}))
        if not process.wait(START_LIMIT_S + limit_s) or process.gave_up_at is not None:
            where = process.gave_up_at or "nobody knows where"
            raise TrainerFailed(f"{refusal} within {limit_s} s: it hung in {where}")
        reply = process.reply()
    if reply["reply"] == "refused":
        raise TrainerFailed(reply["message"])
    if reply["reply"] != "done":
        raise TrainerFailed(f"{refusal}: {reply['message']}")
    return reply["result"]
