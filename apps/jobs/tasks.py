"""Huey tasks; each only rings a supervisor awake. Tasks are safe to run twice.

Here alone anything may be caught: a worker outlives whatever goes wrong about one of its runs.
"""

import logging
from collections.abc import Callable

from apps.jobs import endings
from apps.jobs.queue import huey
from apps.jobs.worker import plays, supervisor

logger = logging.getLogger(__name__)

# What a step of the worker raised last, by the step's name.
_troubles: dict[str, str] = {}


@huey.task()
def work_on_runs() -> None:
    """Train queued runs until none waits or every training slot of this worker is taken."""
    try:
        supervisor.train_queued(ring_evaluations=work_on_evaluations)
    except Exception:
        logger.exception("A training task failed outside its run; the watchdog rings again")


@huey.task()
def work_on_evaluations() -> None:
    """Evaluate what is queued until nothing waits or every place of this worker is taken."""
    try:
        plays.evaluate_queued(ring_films=work_on_films)
    except Exception:
        logger.exception("An evaluation task failed outside its row; the watchdog rings again")


@huey.task()
def work_on_films() -> None:
    """Film what is queued until nothing waits or every place of this worker is taken."""
    try:
        plays.film_queued()
    except Exception:
        logger.exception("A film task failed outside its row; the watchdog rings again")


def look_after(row: endings.Row, judge: Callable[[], object]) -> None:
    """Judge one running row; whatever goes wrong is settled about this row alone."""
    try:
        with endings.settled(row):
            judge()
    except Exception as error:
        logger.exception("%s %s could not be judged", type(row).__name__, row.pk)
        endings.settle(row, error)


def survive(step: Callable[..., object]) -> None:
    """Take one step of a worker that is taken again in a moment, whatever becomes of it.

    What goes wrong each time is told once.
    """
    name = step.__qualname__
    try:
        step()
        _troubles.pop(name, None)
    except Exception as error:
        if _troubles.get(name) != repr(error):
            _troubles[name] = repr(error)
            logger.exception("%s failed; the worker goes on, and tries it again", name)
