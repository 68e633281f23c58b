"""Describe one environment in a process of its own: `python -m apps.engine.describing`.

Reads a `describe` job on stdin and answers on stdout, like a trainer, but loads no torch: a form
can wait for it. Whatever the environment's module does, it does here and not in a web server.
"""

import os
import sys

from apps.engine import protocol
from apps.engine.environments import describe
from apps.engine.errors import EngineError


def main() -> None:
    """Answer one job and leave."""
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Whatever prints must not break the reply.
    try:
        job = protocol.decode(sys.stdin.buffer.readline(), "job")
        description = describe(
            job["environment"],
            job.get("kwargs"),
            job.get("wrappers", ()),
            job.get("frame_stack", 0),
        )
    except EngineError as error:
        replies.write(protocol.encode({"reply": "refused", "message": str(error)}))
        sys.exit(1)
    replies.write(protocol.encode({"reply": "done", "result": description.as_dict()}))


if __name__ == "__main__":
    main()
