"""What a trainer process and its supervisor say to each other: one JSON object a line.

To the trainer's stdin: first one job, then control lines. From its stdout: replies. What the
training itself prints goes to the run's `train.log`.
"""

from typing import Any, Literal, NotRequired, TypedDict, get_args

import orjson

from apps.errors import EngineError

StopStatus = Literal["stopped", "paused", "queued", "lost"]
STOP_STATUSES: tuple[str, ...] = get_args(StopStatus)


class TrainJob(TypedDict):
    """Train in a run directory; with `spec` the directory is made first.

    An `attempt` after the first goes on from a checkpoint. With `manifests` (hash of each
    checkpoint's manifest by step) only from one that is named there and has that hash.
    It computes in at most `threads` threads; without it, in at most as many as there are.
    """

    job: Literal["train"]
    directory: str
    spec: NotRequired[dict[str, Any]]
    keep_checkpoints: NotRequired[int]
    command: NotRequired[str]
    attempt: NotRequired[int]
    manifests: NotRequired[dict[str, str]]
    threads: NotRequired[int]


class EvaluateJob(TypedDict):
    """Evaluate the checkpoint at `step` into `eval/<name>.json`; `spec` is an `EvalSpec`.

    With `manifest`, the hash of the checkpoint's manifest, only if it has that hash. After
    `limit_s` the episodes that have ended count.
    """

    job: Literal["evaluate"]
    directory: str
    step: int
    name: str
    spec: NotRequired[dict[str, Any]]
    manifest: NotRequired[str]
    limit_s: NotRequired[float]


class FilmJob(TypedDict):
    """Film the episodes of the evaluation `eval/<name>.json` into `eval/<name>.mp4`.

    At most `n_episodes` of them and `duration_s` of film; after `limit_s` it is cut where it is.
    `manifest` is as for `EvaluateJob`.
    """

    job: Literal["film"]
    directory: str
    name: str
    manifest: NotRequired[str]
    n_episodes: NotRequired[int]
    duration_s: NotRequired[float]
    limit_s: NotRequired[float]


class DescribeJob(TypedDict):
    """Construct an environment and say what its spaces are (see describing.py).

    After `limit_s` the process gives up; what it was at is on its standard error.
    """

    job: Literal["describe"]
    environment: str
    kwargs: NotRequired[dict[str, Any]]
    wrappers: NotRequired[list[Any]]
    frame_stack: NotRequired[int]
    limit_s: NotRequired[float]


class DiscoverJob(TypedDict):
    """Import a module and say which ids it registered (see describing.py)."""

    job: Literal["discover"]
    module: str
    limit_s: NotRequired[float]


class PreflightJob(TypedDict):
    """Check whether a spec can be trained (see preflighting.py); gives up after `limit_s`.

    It trains for a moment in at most `threads` threads, as the run would.
    """

    job: Literal["preflight"]
    spec: dict[str, Any]
    limit_s: NotRequired[float]
    threads: NotRequired[int]


Job = TrainJob | EvaluateJob | FilmJob | DescribeJob | DiscoverJob | PreflightJob


class Request(TypedDict):
    """A control line: save a checkpoint and go on, or save one and end as a status."""

    control: Literal["save", "stop"]
    ends_as: NotRequired[StopStatus]
    reason: NotRequired[str]


class Standing(TypedDict):
    """Where a training is that was asked to stop; told once a second until it ends."""

    step: int
    is_in_rollout: bool


class Reply(TypedDict):
    """What a trainer says.

    `ready`: warmed up and waiting for a job. `phase`: what it is at, in words, and in `result`
    what came of it so far (of a training that was asked to stop: `Standing`). `done`: `result`
    holds what came of it. `refused`: an error in words meant for a user; where `may_pass`, waiting
    may mend it. `crashed`: an exception nobody foresaw, with its traceback.
    """

    reply: Literal["ready", "phase", "done", "refused", "crashed"]
    result: NotRequired[dict[str, Any]]
    message: NotRequired[str]
    may_pass: NotRequired[bool]
    traceback: NotRequired[str]


class BadLine(EngineError):
    """A line that is no JSON object, or lacks what it must have."""


def encode(message: Job | Request | Reply) -> bytes:
    """Encode a message as one line, newline included."""
    return orjson.dumps(message, option=orjson.OPT_APPEND_NEWLINE)


def decode(line: bytes, key: Literal["job", "control", "reply"]) -> dict[str, Any]:
    """Decode a line that must be an object with `key`.

    Raises:
        BadLine: It is not.
    """
    try:
        message = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise BadLine(f"not JSON: {error}") from error
    if not isinstance(message, dict) or key not in message:
        raise BadLine(f"not an object with the key {key!r}")
    return message


# What a requested stop ends in. `queued`: the run goes on by itself when a worker is there again.
