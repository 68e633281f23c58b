"""The verb that checks a spec before anything is queued: can it be trained here, and how long?

The check runs in a process of its own, which ends itself in time, with whatever it started.
"""

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from django.conf import settings

from apps.jobs.room import share_of_cores
from apps.jobs.trainers import CHECKER, START_LIMIT_S, TrainerProcess
from apps.jobs.verbs import weights
from apps.jobs.verbs.checking import Asker, check_asker
from apps.jobs.verbs.refusals import Refused
from apps.jobs.verbs.weights import Start
from apps.jobs.worker.supervisor import most_runs
from apps.protocol.preflight import Finding, Preflight
from apps.spec.run import RunSpec

# A request waits for its check: more at once would take the server's threads, and the cores that
# each check measures.
AT_ONCE = 2
_slots = threading.BoundedSemaphore(AT_ONCE)


class Busy(Refused):
    """As many checks as may run at once are running."""


def preflight(
    data: Mapping[str, Any], start: Start | None = None, asker: Asker = Asker.LOGIN
) -> Preflight:
    """Check a spec: construct its environment, probe it, train for a moment, and judge.

    Takes some seconds, and at most `CHECK_LIMIT_S` and the start of a process.

    Args:
        data: Fields of the spec.
        start: The weights that it would start from; the check itself begins with new networks of
            their shape.
        asker: Who asks.

    Raises:
        InvalidSpec: Lists every refused field.
        Busy: Two checks are running.
    """
    if start:
        spec = weights.check_spec(data, start, asker)
    else:
        spec = RunSpec.from_dict(data)
        check_asker(spec, asker)
    if not _slots.acquire(blocking=False):
        raise Busy(f"{AT_ONCE} checks are running already; try again in some seconds")
    try:
        return _check(spec)
    finally:
        _slots.release()


def _check(spec: RunSpec) -> Preflight:
    limit_s = settings.CHECK_LIMIT_S
    with TrainerProcess(*CHECKER) as process:
        process.send(
            {
                "job": "preflight",
                "spec": spec.as_dict(),
                "limit_s": limit_s,
                "threads": share_of_cores(most_runs(), more=1),
            }
        )
        has_ended = process.wait(START_LIMIT_S + limit_s)
        reply, phase, place = process.reply(), process.phase, process.gave_up_at
        stacks = process.stderr_tail() if place else reply.get("traceback", "")
    if has_ended and reply["reply"] == "done":
        return Preflight.from_dict(reply["result"])
    known = Preflight.from_dict(phase["result"]) if phase else Preflight()
    moment = f"while {phase['message']}" if phase else "at its start"
    if has_ended and place is None:
        finding = Finding("refusal", f"it broke {moment}: {reply['message']}")
    else:
        finding = Finding(
            "refusal",
            f"it did not come back {moment} within {limit_s} s: it hung in "
            f"{place or 'an unknown place'}",
            "mend it, or raise RLGYM_CHECK_LIMIT_S where it only takes long",
        )
    return replace(known, findings=(*known.findings, finding), traceback=stacks)
