"""What each process of the engine does first and last: answers in private, ends with all it began.

An environment's code runs in these processes: it may print, raise, start processes of its own, or
never come back.
"""

import argparse
import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import FileIO
from types import TracebackType
from typing import IO, NoReturn

from apps.protocol import messages

EXIT_REFUSED = 1
EXIT_ABANDONED = 4


def read_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """Read the options that every process of the engine takes, and those the parser has already.

    Modules of the user's own are looked for last, in the folders of `--path`: one that is named
    like a library's must not take its place.
    """
    parser.add_argument("--supervised", action="store_true", help="end when stdin ends")
    parser.add_argument("--path", action="append", default=[], help="where else modules are")
    options = parser.parse_args()
    sys.path.extend(options.path)
    return options


def private_replies() -> IO[bytes]:
    """Return the stream of replies; whatever else writes to standard output goes to the errors."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    sys.excepthook = partial(_report_crash, replies)
    return replies


def open_stdin() -> FileIO:
    """Return standard input unbuffered.

    A thread that waits in a buffered read holds its lock, and the interpreter aborts when it ends
    meanwhile.
    """
    return FileIO(sys.stdin.fileno(), closefd=False)


class ExitCalled(Exception):
    """Code of an environment's asked the interpreter to exit; the message says where."""


@contextmanager
def exit_is_failure() -> Iterator[None]:
    """Have `sys.exit` of an environment's fail with its place, as any other error does.

    Raises:
        ExitCalled: It was called inside of the block.
    """
    try:
        yield
    except SystemExit as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        raise ExitCalled(
            f"the process was asked to exit (SystemExit: {error.code}) in {place.name} "
            f"({place.filename}, line {place.lineno}); raise an error, or end the episode"
        ) from error


def give_up_after(limit_s: float) -> None:
    """End this process after so many seconds, its stack printed, whatever holds the interpreter.

    A thread of C does it: code that never lets go of the interpreter's lock is ended as well.
    """
    faulthandler.dump_traceback_later(limit_s, exit=True)


def end_with_supervisor(stdin: FileIO) -> None:
    """Wait for the end of standard input, which is the supervisor's, then end the group."""
    while stdin.read(1024):
        pass
    end_group()


def end_group() -> NoReturn:
    """End this process at once, with whatever an environment started in its process group.

    Only the leader of a group takes the others along: by hand, in a shell's pipe, they are not
    ours.
    """
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(EXIT_ABANDONED)


def _report_crash(
    replies: IO[bytes],
    kind: type[BaseException],
    error: BaseException,
    trace: TracebackType | None,
) -> None:
    text = "".join(traceback.format_exception(kind, error, trace))
    sys.stderr.write(text)
    replies.write(
        messages.encode(
            {"reply": "crashed", "message": f"{kind.__name__}: {error}", "traceback": text}
        )
    )
