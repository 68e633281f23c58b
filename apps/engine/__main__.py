"""The trainer process: `python -m apps.engine [--warm] [--supervised]`.

Reads one job on stdin, then control lines; answers on stdout (see protocol.py). Needs no Django
and no database:

    echo '{"job": "train", "directory": "my-run", "spec": {"total_timesteps": 20000}}' \
        | python -m apps.engine

`--warm` imports everything and runs two tiny jobs before it reads, so that the real job starts at
once. `--supervised` takes the end of stdin as the death of the supervisor: a training then saves a
checkpoint and ends, within seconds or by force.
"""

import argparse
import logging
import math
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from io import FileIO
from pathlib import Path
from types import FrameType
from typing import IO, Any

# Idle OpenMP threads of two trainers that spin against each other stop both: they must sleep. Set
# before torch is imported, which reads it once.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("MUJOCO_GL", "egl")

from apps.engine.control import Control
from apps.engine.models.devices import leave_compiler_out
from apps.engine.playing.evaluation import Deadline, evaluate
from apps.engine.playing.scenes import FilmLimits, film
from apps.engine.process import (
    EXIT_REFUSED,
    end_group,
    exit_is_failure,
    open_stdin,
    private_replies,
    read_options,
)
from apps.engine.training.training import Attempt, train
from apps.errors import DiskFull, EngineError, FieldError, InvalidSpec
from apps.protocol import messages
from apps.protocol.messages import STOP_STATUSES
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json
from apps.spec.evaluation import EvalSpec
from apps.spec.run import RunSpec
from apps.text.names import LineFormatter

GRACE_AFTER_SUPERVISOR_S = 3.0
STANDING_INTERVAL_S = 1.0
DOING = {"train": "training", "evaluate": "evaluating"}  # As words that follow on "while".

logger = logging.getLogger("apps.engine")


def main() -> None:
    """Run one job and leave."""
    parser = argparse.ArgumentParser(
        prog="python -m apps.engine", description="The trainer process."
    )
    parser.add_argument("--warm", action="store_true", help="run tiny jobs before reading one")
    options = read_options(parser)
    replies = private_replies()
    leave_compiler_out()
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("%(asctime)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    if options.warm:
        warm_up()
        replies.write(messages.encode({"reply": "ready"}))
    stdin = open_stdin()
    line = stdin.readline()
    if not line:
        return
    control = Control()
    is_abandoned = threading.Event()
    signal.signal(signal.SIGTERM, partial(_stop_on_signal, control))
    threading.Thread(
        target=_listen,
        args=(stdin, control, replies, is_abandoned if options.supervised else None),
        daemon=True,
    ).start()
    try:
        job = messages.decode(line, "job")
        replies.write(messages.encode({"reply": "phase", "message": DOING.get(job["job"], "")}))
        with exit_is_failure():
            result = run_job(job, control)
    except EngineError as error:
        logger.error("%s", error)
        refusal: messages.Reply = {
            "reply": "refused",
            "message": str(error),
            "may_pass": isinstance(error, DiskFull),
        }
        replies.write(messages.encode(refusal))
        sys.exit(EXIT_REFUSED)
    finally:
        if is_abandoned.is_set():
            end_group()
    replies.write(messages.encode({"reply": "done", "result": result}))


def run_job(job: dict[str, Any], control: Control) -> dict[str, Any]:
    """Run a job and return its result.

    Raises:
        EngineError: Anything that the job refuses.
    """
    jobs: dict[str, Callable[[dict[str, Any], Control], dict[str, Any]]] = {
        "train": _train,
        "evaluate": _evaluate,
        "film": _film,
    }
    if job["job"] not in jobs:
        raise messages.BadLine(f"unknown job {job['job']!r}; allowed: {', '.join(jobs)}")
    try:
        return jobs[job["job"]](job, control)
    except KeyError as error:
        if error.args[0] in {"directory", "step", "name"}:
            raise messages.BadLine(f"the job lacks {error.args[0]!r}") from error
        raise


def _train(job: dict[str, Any], control: Control) -> dict[str, Any]:
    directory = RunDirectory(Path(job["directory"]))
    if "spec" in job:
        if not isinstance(job["spec"], dict):
            raise InvalidSpec([FieldError("spec", "is not an object")])
        spec = RunSpec.from_dict(job["spec"])
        directory.create(spec.as_dict(), {"id": directory.name, "name": directory.name})
    else:
        spec = RunSpec.from_dict(read_json(directory.spec))
    _print_to(directory.train_log)
    remembered = job.get("manifests")
    manifests = None if remembered is None else {int(step): h for step, h in remembered.items()}
    outcome = train(
        spec,
        directory,
        control,
        job.get("keep_checkpoints", 3),
        job.get("command", ""),
        Attempt(job.get("attempt", 1), manifests, job.get("threads")),
    )
    return asdict(outcome)


def _evaluate(job: dict[str, Any], control: Control) -> dict[str, Any]:
    directory = RunDirectory(Path(job["directory"]))
    run = RunSpec.from_dict(read_json(directory.spec))
    spec = EvalSpec.from_dict(job.get("spec", {}))
    _print_to(directory.train_log)
    step, name, manifest = job["step"], job["name"], job.get("manifest")
    deadline = Deadline(job.get("limit_s", math.inf), control)
    return evaluate(directory, run, step, spec, name, manifest, deadline).as_dict(name)


def _film(job: dict[str, Any], control: Control) -> dict[str, Any]:
    directory = RunDirectory(Path(job["directory"]))
    run = RunSpec.from_dict(read_json(directory.spec))
    _print_to(directory.train_log)
    given = {name: job[name] for name in ("n_episodes", "duration_s") if name in job}
    deadline = Deadline(job.get("limit_s", math.inf), control)
    name, manifest = job["name"], job.get("manifest")
    return film(directory, run, name, FilmLimits(**given), manifest, deadline)


def warm_up() -> None:
    """Run one tiny job of each algorithm, so that everything is imported and allocated."""
    for algorithm in ("dqn", "ppo"):
        with tempfile.TemporaryDirectory(prefix="rlgym-warm-") as folder:
            small = {"n_steps": 64} if algorithm == "ppo" else {"buffer_size": 1000}
            spec = RunSpec.from_dict(
                {"algorithm": algorithm, "total_timesteps": 128, "hyperparameters": small}
            )
            directory = RunDirectory(Path(folder) / "run").create(spec.as_dict(), {})
            train(spec, directory)


def _print_to(path: Path) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(fd, sys.stdout.fileno())
    os.dup2(fd, sys.stderr.fileno())
    os.close(fd)


def _listen(
    stdin: FileIO, control: Control, replies: IO[bytes], is_abandoned: threading.Event | None
) -> None:
    teller = threading.Thread(target=_tell_standing, args=(control, replies), daemon=True)
    for line in stdin:
        try:
            request = messages.decode(line, "control")
        except messages.BadLine as error:
            logger.warning("a control line is ignored: %s", error)
            continue
        _obey(request, control)
        if control.is_stop_requested and not teller.ident:
            teller.start()
    if is_abandoned is not None:
        is_abandoned.set()
        control.request_stop("lost", "Its supervisor vanished.")
        threading.Event().wait(GRACE_AFTER_SUPERVISOR_S)
        end_group()


def _tell_standing(control: Control, replies: IO[bytes]) -> None:
    """Tell where the training is, so that its supervisor knows computing from hanging."""
    while True:
        standing: messages.Standing = {
            "step": control.step,
            "is_in_rollout": control.is_in_rollout,
        }
        doing = "playing" if control.is_in_rollout else "learning or saving"
        with suppress(BrokenPipeError):  # By hand, nobody may be reading any more.
            replies.write(
                messages.encode({"reply": "phase", "message": doing, "result": {**standing}})
            )
        threading.Event().wait(STANDING_INTERVAL_S)


def _obey(request: dict[str, Any], control: Control) -> None:
    if request["control"] == "save":
        control.is_save_requested = True
    elif request["control"] == "stop" and request.get("ends_as", "stopped") in STOP_STATUSES:
        control.request_stop(request.get("ends_as", "stopped"), str(request.get("reason", "")))
    else:
        logger.warning("a control line is ignored: %s", request)


def _stop_on_signal(control: Control, number: int, frame: FrameType | None) -> None:
    control.request_stop(reason="Its process was asked to end.")


if __name__ == "__main__":
    main()
