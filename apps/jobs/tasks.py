"""Huey tasks; each only rings a supervisor awake. Tasks are safe to run twice."""

import logging

from apps.jobs import plays, supervisor
from apps.jobs.queue import huey

logger = logging.getLogger(__name__)


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
