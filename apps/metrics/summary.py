"""Fold a run's log into the few numbers that lists show.

The same fold serves a supervisor, line by line while a run trains, and a rebuild from disk. A log
that an outside script fills may call the means otherwise, or have none: there the last 100
episodes stand for them, sent as episodes or as metrics of a step.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from apps.engine import early_stop
from apps.engine.events import Event, value_of
from apps.engine.metric_aliases import names_of

RETURN_KEY = "rollout/ep_rew_mean"
LENGTH_KEY = "rollout/ep_len_mean"
EPISODE_RETURN_KEY = "episode/return"
EPISODE_LENGTH_KEY = "episode/length"
OWN_NAMES = {RETURN_KEY: RETURN_KEY, LENGTH_KEY: LENGTH_KEY}
NAMES_OF_SCRIPTS = names_of((*OWN_NAMES, EPISODE_RETURN_KEY, EPISODE_LENGTH_KEY))
EPISODE_WINDOW = 100
SPEED_WINDOW_S = 10.0
TENTHS = 10
MAX_MARKS = 10_000  # Times that stand still would keep every mark for ever.


@dataclass(slots=True)
class RunSummary:
    """What the log says so far.

    Attributes:
        is_logged: Whether an outside script fills the log.
        step: Environment steps done.
        episodes: Training episodes that ended.
        return_last: Latest mean return of the last 100 training episodes.
        return_best: Best of those means.
        return_mean: Mean return of all training episodes.
        length_last: Latest mean length of the last 100 training episodes.
        length_mean: Mean length of all training episodes.
        steps_per_second: Speed over the last ten seconds of training.
        status: Latest status in the log.
        reason: Its reason.
        error: The traceback that came with it.
        queued_at: Unix seconds of the last `queued` line.
        started_at: Unix seconds of the first `running` line.
        finished_at: Unix seconds of the last status line.
        attempt: How often training began.
        fidelity: How exactly the latest attempt went on, empty for a first one.
        fidelity_notes: What it could not bring back, each with its reason.
        checkpoints: Checkpoint events by step.
        total_timesteps: Steps of the run, 0 when they are not known: then no tenths are kept.
        return_tenths: At each tenth of the run so far, the mean of all values that the mean
            return of the last 100 training episodes had had by then; None before the first.
        was_stopped_early: Whether it was once stopped for being worse than its like.
    """

    is_logged: bool = False
    step: int = 0
    episodes: int = 0
    return_last: float | None = None
    return_best: float | None = None
    return_mean: float | None = None
    length_last: float | None = None
    length_mean: float | None = None
    steps_per_second: float | None = None
    status: str = "draft"
    reason: str = ""
    error: str = ""
    queued_at: float | None = None
    started_at: float | None = None
    finished_at: float | None = None
    attempt: int = 0
    fidelity: str = ""
    fidelity_notes: dict[str, str] = field(default_factory=dict)
    checkpoints: dict[int, Event] = field(default_factory=dict)
    total_timesteps: int = 0
    return_tenths: list[float | None] = field(default_factory=list)
    was_stopped_early: bool = False
    _n_returns: int = 0
    _returns_mean: float = 0.0
    _marks: deque[tuple[float, int]] = field(default_factory=partial(deque, maxlen=MAX_MARKS))
    _latest: deque[float] = field(default_factory=partial(deque, maxlen=EPISODE_WINDOW))

    def fold(self, event: Event) -> None:
        """Take one more event into account."""
        if event["type"] in {"metrics", "episode", "checkpoint"}:
            self._advance(event["t"], event["step"])
        if event["type"] == "metrics":
            self._fold_metrics(event)
        elif event["type"] == "episode":
            self._fold_episode(event)
        elif event["type"] == "checkpoint":
            self.checkpoints[event["step"]] = event
        elif event["type"] == "status":
            self._fold_status(event)
        elif event["type"] == "attempt":
            self.step = event["from_step"]
            self.fidelity = str(event.get("fidelity", ""))
            self.fidelity_notes = event.get("notes") or {}
            self._marks.clear()

    def columns(self) -> dict[str, Any]:
        """Return the values of the run's summary columns."""
        names = (
            "step", "episodes", "return_last", "return_best", "return_mean", "length_last",
            "length_mean", "steps_per_second", "fidelity", "fidelity_notes", "return_tenths",
        )  # fmt: skip
        return {name: getattr(self, name) for name in names}

    def _advance(self, at: float, step: int) -> None:
        self.step = max(self.step, step)
        if self._marks and step <= self._marks[-1][1]:
            return  # It says nothing of speed.
        self._marks.append((at, step))
        while len(self._marks) > 2 and at - self._marks[0][0] > SPEED_WINDOW_S:
            self._marks.popleft()
        first_at, first_step = self._marks[0]
        if at > first_at:
            self.steps_per_second = (step - first_step) / (at - first_at)

    def _fold_metrics(self, event: Event) -> None:
        told = self._told(event)
        if RETURN_KEY in told:
            self._close_tenths(event["step"])
            self._n_returns += 1
            self._returns_mean += (told[RETURN_KEY] - self._returns_mean) / self._n_returns
            self._fold_mean_return(told[RETURN_KEY])
        self.length_last = told.get(LENGTH_KEY, self.length_last)
        self._fold_return(told.get(EPISODE_RETURN_KEY))
        self._fold_length(told.get(EPISODE_LENGTH_KEY))

    def _told(self, event: Event) -> dict[str, float]:
        """Return the finite values that count here, whatever the script calls them."""
        names = NAMES_OF_SCRIPTS if self.is_logged else OWN_NAMES
        told: dict[str, float] = {}
        for key in event["values"]:
            target = names.get(key)
            if target is None or (target in told and target != key):
                continue
            value = value_of(event, key)
            if value is not None and math.isfinite(value):
                told[target] = value
        return told

    def _fold_mean_return(self, mean_return: float) -> None:
        self.return_last = mean_return
        is_best = self.return_best is None or mean_return > self.return_best
        self.return_best = mean_return if is_best else self.return_best

    def _close_tenths(self, step: float) -> None:
        """Note the running mean of the returns at each tenth before a step."""
        while self.total_timesteps and len(self.return_tenths) < TENTHS:
            if step * TENTHS <= (len(self.return_tenths) + 1) * self.total_timesteps:
                return
            self.return_tenths.append(self._returns_mean if self._n_returns else None)

    def _fold_episode(self, event: Event) -> None:
        episode_return, length = event.get("return"), event.get("length")
        if not isinstance(episode_return, int | float) or not isinstance(length, int | float):
            return
        self._fold_return(episode_return)
        self._fold_length(length)

    def _fold_return(self, episode_return: float | None) -> None:
        if episode_return is None or not math.isfinite(episode_return):
            return
        self.episodes += 1
        share = 1.0 / self.episodes
        self.return_mean = (self.return_mean or 0.0) * (1.0 - share) + episode_return * share
        if self.is_logged and not self._n_returns:
            self._latest.append(episode_return)
            self._fold_mean_return(sum(self._latest) / len(self._latest))

    def _fold_length(self, length: float | None) -> None:
        if length is None or not math.isfinite(length):
            return
        share = 1.0 / max(self.episodes, 1)
        self.length_mean = (self.length_mean or 0.0) * (1.0 - share) + length * share

    def _fold_status(self, event: Event) -> None:
        self.status = str(event.get("status", ""))
        self.reason = str(event.get("reason", ""))
        self.error = str(event.get("error", ""))
        self.was_stopped_early |= self.reason.startswith(early_stop.REASON)
        if self.status == "completed":
            self._close_tenths(math.inf)
        if self.status == "queued":
            self.queued_at = event["t"]
        elif self.status == "running":
            self.attempt += 1
            # How exactly it goes on is known once its `attempt` line is there.
            self.fidelity, self.fidelity_notes = "", {}
            self.started_at = self.started_at or event["t"]
        elif self.status != "draft":
            self.finished_at = event["t"]
