"""Describe environments in a process of its own: `python -m apps.engine.describing`.

Reads a `describe` or a `discover` job on stdin and answers on stdout, like a trainer, but loads no
torch: a form can wait for it. Whatever an environment's module does, it does here and not in a web
server.
"""

import argparse
import sys
import threading
from typing import Any

from apps.engine import protocol
from apps.engine.environments import describe, discover
from apps.engine.errors import EngineError
from apps.engine.process import (
    EXIT_REFUSED,
    end_with_supervisor,
    give_up_after,
    open_stdin,
    private_replies,
    read_options,
)


def main() -> None:
    """Answer one job and leave."""
    options = read_options(argparse.ArgumentParser(prog="python -m apps.engine.describing"))
    replies = private_replies()
    stdin = open_stdin()
    line = stdin.readline()
    if options.supervised:
        threading.Thread(target=end_with_supervisor, args=(stdin,), daemon=True).start()
    try:
        result = run_job(protocol.decode(line, "job"))
    except EngineError as error:
        replies.write(protocol.encode({"reply": "refused", "message": str(error)}))
        sys.exit(EXIT_REFUSED)
    replies.write(protocol.encode({"reply": "done", "result": result}))


def run_job(job: dict[str, Any]) -> dict[str, Any]:
    """Run a job and return its result.

    Raises:
        EngineError: Anything that the job refuses.
    """
    if "limit_s" in job:
        give_up_after(job["limit_s"])
    if job["job"] == "discover":
        return {"ids": discover(job["module"])}
    description = describe(
        job["environment"], job.get("kwargs"), job.get("wrappers", ()), job.get("frame_stack", 0)
    )
    return description.as_dict()


if __name__ == "__main__":
    main()
