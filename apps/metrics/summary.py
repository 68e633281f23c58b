"""Fold a run's log into the few numbers that lists show.

The same fold serves a supervisor, line by line while a run trains, and a rebuild from disk. A log
that an outside script fills may call things otherwise.
"""

import math
from collections import deque
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from apps.catalogue.metrics.aliases import names_of
from apps.metrics.figures import EpisodeFigures, FirstOf
from apps.rundir.events import Event, value_of
from apps.spec import early_stop

RETURN_KEY = "rollout/ep_rew_mean"
LENGTH_KEY = "rollout/ep_len_mean"
EPISODE_RETURN_KEY = "episode/return"
EPISODE_LENGTH_KEY = "episode/length"
OWN_NAMES = {RETURN_KEY: RETURN_KEY, LENGTH_KEY: LENGTH_KEY}
NAMES_OF_SCRIPTS = names_of((*OWN_NAMES, EPISODE_RETURN_KEY, EPISODE_LENGTH_KEY))
# What stands for the loss of a run, the preferred one first, whatever the script calls it.
LOSSES = ("train/loss", "train/critic_loss", "train/value_loss")
NAMES_OF_LOSSES = sorted(names_of(LOSSES), key=lambda name: LOSSES.index(names_of(LOSSES)[name]))
SPEED_WINDOW_S = 10.0
TENTHS = 10
MAX_MARKS = 10_000  # Times that stand still would keep every mark for ever.


@dataclass(slots=True)
class RunSummary:
    """What the log says so far.

    Attributes:
        is_logged: Whether an outside script fills the log.
        step: Environment steps done.
        returns: Return of training episodes, and its mean over the last 100.
        lengths: Their length likewise.
        losses: The loss.
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
    returns: EpisodeFigures = field(default_factory=EpisodeFigures)
    lengths: EpisodeFigures = field(default_factory=EpisodeFigures)
    losses: FirstOf = field(default_factory=partial(FirstOf, NAMES_OF_LOSSES))
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
    _marks: deque[tuple[float, int]] = field(default_factory=partial(deque, maxlen=MAX_MARKS))

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
        names = ("step", "steps_per_second", "fidelity", "fidelity_notes", "return_tenths")
        return {
            **{name: getattr(self, name) for name in names},
            "episodes": self.returns.episodes.n,
            **self.returns.columns("return"),
            "return_best": self.returns.best,
            **self.lengths.columns("length"),
            **self.losses.columns("loss"),
        }

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
        step, told = event["step"], self._told(event)
        if RETURN_KEY in told:
            self._close_tenths(step)
        self.returns.take_mean(step, told.get(RETURN_KEY))
        self.lengths.take_mean(step, told.get(LENGTH_KEY))
        self.returns.take_episode(step, told.get(EPISODE_RETURN_KEY), self.is_logged)
        self.lengths.take_episode(step, told.get(EPISODE_LENGTH_KEY), self.is_logged)
        self.losses.take(event)

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

    def _close_tenths(self, step: float) -> None:
        """Note the mean of the curve of returns at each tenth before a step."""
        while self.total_timesteps and len(self.return_tenths) < TENTHS:
            if step * TENTHS <= (len(self.return_tenths) + 1) * self.total_timesteps:
                return
            self.return_tenths.append(self.returns.curve.mean)

    def _fold_episode(self, event: Event) -> None:
        episode_return, length = event.get("return"), event.get("length")
        if not isinstance(episode_return, int | float) or not isinstance(length, int | float):
            return
        self.returns.take_episode(event["step"], episode_return, self.is_logged)
        self.lengths.take_episode(event["step"], length, self.is_logged)

    def _fold_status(self, event: Event) -> None:
        self.status = str(event.get("status", ""))
        self.reason = str(event.get("reason", ""))
        self.error = str(event.get("error", ""))
        self.was_stopped_early |= self.reason.startswith(early_stop.REASON)
        if self.status == "completed":
            self._close_tenths(math.inf)
        if self.status == "queued":
            self.queued_at = event["t"]
        elif self.status == "running" and self.reason:
            pass  # A remark on the attempt.
        elif self.status == "running":
            self.attempt += 1
            # How exactly it goes on is known once its `attempt` line is there.
            self.fidelity, self.fidelity_notes = "", {}
            self.started_at = self.started_at or event["t"]
        elif self.status != "draft":
            self.finished_at = event["t"]
