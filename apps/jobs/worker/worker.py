"""The worker: Huey's consumer with thread workers, the warm trainer, and the watchdog.

Threads, not processes: Huey's process workers are daemonic and could start no trainer with
children of its own; here a thread only supervises a trainer, which is a process anyway.
"""

import logging
import signal
import threading
import time
from pathlib import Path

from django.conf import settings
from django.db import close_old_connections
from huey.consumer import Consumer

from apps.jobs import leftovers, presence, tasks
from apps.jobs.queue import huey
from apps.jobs.worker import supervisor
from apps.jobs.worker.watchdog import Watchdog

SHUTDOWN_TIMEOUT_S = 30.0
HEALTH_INTERVAL_S = 10.0
TICK_S = 1.0
# Idle threads ask the queue this often at least; with Huey's own 10 s a click would wait.
MAX_POLL_S = 0.2

logger = logging.getLogger(__name__)


def run() -> None:
    """Work until SIGTERM or SIGINT, then end in order: trainers save, evaluations requeue."""
    asked_to_end = threading.Event()
    consumer = Consumer(
        huey,
        workers=_threads(),
        periodic=False,
        initial_delay=0.05,
        max_delay=MAX_POLL_S,
        shutdown_timeout=SHUTDOWN_TIMEOUT_S,
    )
    worker = presence.Worker(
        settings.WORKERS,
        supervisor.most_runs(),
        settings.EVALUATION_WORKERS,
        settings.VIDEO_WORKERS,
    )
    with presence.announced(Path(settings.HOME), worker):
        tasks.survive(leftovers.sweep)
        consumer.start()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: asked_to_end.set())
        supervisor.reserve().fill()
        logger.info(
            "worker ready: %s training slots, at most %s runs on this machine",
            worker.slots,
            worker.max_runs,
        )
        _watch_until(asked_to_end, consumer)
        logger.info("worker ends: asking its trainers to save and stop")
        supervisor.shutdown.set()
        supervisor.reserve().close()
        consumer.stop(graceful=True)


def _threads() -> int:
    """Return one thread for each place, and one that finds no place: it clears the doorbell.

    Training, evaluations and films each keep to their own places, so whatever waits of one kind,
    there is a thread for the others.
    """
    return settings.WORKERS + settings.EVALUATION_WORKERS + settings.VIDEO_WORKERS + 1


def _watch_until(asked_to_end: threading.Event, consumer: Consumer) -> None:
    watchdog = Watchdog()
    checked_at = time.monotonic()
    while not asked_to_end.wait(TICK_S):
        tasks.survive(close_old_connections)
        tasks.survive(watchdog.tick)
        if time.monotonic() - checked_at > HEALTH_INTERVAL_S:
            checked_at = time.monotonic()
            tasks.survive(consumer.check_worker_health)
