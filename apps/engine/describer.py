"""Describe environments in a process of its own: `python -m apps.engine.describer`.

Reads a `describe` or a `discover` job on stdin and answers on stdout, like a trainer, but loads no
torch: a form can wait for it. Whatever an environment's module does, it does here and not in a web
server.
"""

import argparse
import sys
import threading
from dataclasses import replace
from typing import Any

import orjson

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.descriptions import DESCRIPTIONS_FILE
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.ids import is_installed
from apps.engine.environments.making import describe, discover
from apps.engine.process import (
    EXIT_REFUSED,
    end_with_supervisor,
    exit_is_failure,
    give_up_after,
    open_stdin,
    private_replies,
    read_options,
)
from apps.errors import EngineError
from apps.protocol import messages
from apps.rundir.files import write_json


def main() -> None:
    """Answer one job and leave."""
    parser = argparse.ArgumentParser(prog="python -m apps.engine.describer")
    parser.add_argument(
        "--known", action="store_true", help="describe the known environments that are installed"
    )
    options = read_options(parser)
    if options.known:
        write_known()
        return
    replies = private_replies()
    stdin = open_stdin()
    line = stdin.readline()
    if options.supervised:
        threading.Thread(target=end_with_supervisor, args=(stdin,), daemon=True).start()
    try:
        job = messages.decode(line, "job")
        replies.write(messages.encode({"reply": "phase", "message": "describing it"}))
        with exit_is_failure():
            result = run_job(job)
    except EngineError as error:
        replies.write(messages.encode({"reply": "refused", "message": str(error)}))
        sys.exit(EXIT_REFUSED)
    replies.write(messages.encode({"reply": "done", "result": result}))


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


def write_known() -> None:
    """Rewrite the descriptions of the known environments; those not installed keep theirs."""
    data = orjson.loads(DESCRIPTIONS_FILE.read_bytes()) if DESCRIPTIONS_FILE.exists() else {}
    for card in ENVIRONMENTS.values():
        if is_installed(card.family):
            family = FAMILIES[card.family]
            description = describe(card.id, family.kwargs, family.wrappers, family.frame_stack)
            data[card.id] = replace(description, summary="").as_dict()  # The card says it.
    ordered = {name: data[name] for name in ENVIRONMENTS if name in data}
    write_json(DESCRIPTIONS_FILE, ordered)


if __name__ == "__main__":
    main()
