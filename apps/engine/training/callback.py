"""The one Stable-Baselines3 callback and log writer: what the library says becomes events.

Everything that must happen between rollouts happens here: episodes and scalars go to the log,
checkpoints are due, a stop is obeyed. Nothing waits for a reader.
"""

import logging
import math
import time
from collections.abc import Callable
from typing import Any

import psutil
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm

from apps import words
from apps.engine.checkpoints import saving, state
from apps.engine.checkpoints.buffer import SharedChunks
from apps.engine.control import Control
from apps.engine.training.dumps import between_dumps
from apps.engine.training.finiteness import Finiteness
from apps.engine.training.log import EventLog
from apps.rundir import events
from apps.rundir.directory import RunDirectory
from apps.spec.run import RunSpec

PROGRESS_INTERVAL_S = 1.0
PRINT_INTERVAL_S = 5.0
# At the default frequency training stands still for a hundredth of the time at most: a save takes
# 10 ms for small networks, and seconds for a large buffer of pixels.
MIN_DEFAULT_SAVE_INTERVAL_S = 5.0
MAX_DEFAULT_SAVE_FRACTION = 0.01

PROGRESS_ATTRIBUTES = ("episodes", "_rollouts", "_best_return")

logger = logging.getLogger(__name__)


class StopTraining(Exception):
    """Raised between two rollouts to leave `learn()` when a stop was asked for."""


class TrainingCallback(BaseCallback):
    """Records episodes and progress, saves checkpoints when due, obeys the control."""

    def __init__(
        self,
        spec: RunSpec,
        directory: RunDirectory,
        log: EventLog,
        control: Control,
        keep_checkpoints: int,
    ) -> None:
        super().__init__()
        self.episodes = 0
        self.finish_restoring: Callable[[], None] | None = None
        self.chunks = SharedChunks()
        self._remark = ""
        self._has_started = False
        self._rollouts = 0
        self._between_dumps = between_dumps(spec)
        self._spec = spec
        self.directory = directory
        self._log = log
        self._control = control
        self._keep = keep_checkpoints
        self._next_save = self._next_evaluation = math.inf
        self._best_return = -math.inf
        self._process = psutil.Process()
        self._speed_step = 0
        self._speed_at = time.monotonic()
        self._printed_at = self._saved_at = self._speed_at
        self._stall_s = 0.0
        self._began_at_ns = time.monotonic_ns()

    def _on_training_start(self) -> None:
        self.finiteness = Finiteness(self.model)
        self._has_started = True
        self._keeps_rewards = isinstance(self.model, OnPolicyAlgorithm | OffPolicyAlgorithm)
        self._schedule(self.num_timesteps)
        self._speed_step = self.num_timesteps
        self._speed_at = self._printed_at = self._saved_at = time.monotonic()
        self._began_at_ns = time.monotonic_ns()

    def _on_rollout_start(self) -> None:
        # Between rollouts the model is whole: the place to save and to stop.
        if self.finish_restoring:
            self.finish_restoring()
            self.finish_restoring = None
        self.finiteness.look_now_and_then()
        step = self.num_timesteps
        should_evaluate = step >= self._next_evaluation
        is_due = step >= self._next_save and self._may_save()
        if should_evaluate or is_due or self._control.is_save_requested:
            self._control.is_save_requested = False
            self.save(should_evaluate)
        if self._control.is_stop_requested:
            raise StopTraining
        self._control.is_in_rollout = True

    def _on_step(self) -> bool:
        self._control.step = self.num_timesteps
        dones = self.locals["dones"]
        if not self._keeps_rewards:
            self.finiteness.look_at_rewards(self.locals["rewards"])
        if dones.any():
            self._record_episodes(dones)
            self._set_start_time()  # Off-policy algorithms log when an episode has ended.
        if time.monotonic() - self._speed_at > PROGRESS_INTERVAL_S:
            self._record_progress()
        return True

    def _on_rollout_end(self) -> None:
        self._control.is_in_rollout = False
        # The library counts iterations anew in each `learn()`, which a resumed run calls again.
        if isinstance(self.model, OnPolicyAlgorithm):
            self.finiteness.look_at_experience()
            self._rollouts += 1
            if self._rollouts % self._between_dumps == 0:
                self._set_start_time()
                self.model.dump_logs(self._rollouts)

    def _set_start_time(self) -> None:
        # The library reads the time of day for its steps a second, and that may have been set.
        self.model.start_time = time.time_ns() - (time.monotonic_ns() - self._began_at_ns)

    def _on_training_end(self) -> None:
        # The library tells returns with the last of so many episodes.
        is_off_policy = isinstance(self.model, OffPolicyAlgorithm)
        if is_off_policy and self.model._episode_num % self._between_dumps:
            self._set_start_time()
            self.model.dump_logs()
        # The scalars of the last update come after the last dump.
        if self.logger.name_to_value:
            self.logger.dump(self.num_timesteps)
        self._log.flush()

    def _schedule(self, step: int) -> None:
        # From the spec, not from a checkpoint: a branch may want them at other steps.
        self._next_save = _next_multiple(step, self._spec.steps_between_saves)
        between = self._spec.steps_between_evaluations
        self._next_evaluation = _next_multiple(step, between) if between else math.inf

    def _may_save(self) -> bool:
        interval_s = max(MIN_DEFAULT_SAVE_INTERVAL_S, self._stall_s / MAX_DEFAULT_SAVE_FRACTION)
        return self._spec.save_freq > 0 or time.monotonic() - self._saved_at > interval_s

    def save(self, should_evaluate: bool) -> None:
        """Save a checkpoint of the present step and log it.

        Raises:
            NotFinite: What was learnt from, or what was learnt, is not made of numbers.
        """
        self.finiteness.look()
        started_at = time.monotonic()
        step = self.num_timesteps
        mean_return = self.mean_return()
        is_best = mean_return >= self._best_return
        self._best_return = max(self._best_return, mean_return)
        self._schedule(step)
        self._log.flush()  # A checkpoint never knows more than the log.
        captured = state.capture(self.model, self._spec, self.progress())
        self._say_once(captured["environments"].get("why", ""))
        saved = saving.save(
            self.model,
            self.directory,
            captured,
            saving.Rank(step, is_best, should_evaluate, self._keep),
            self.chunks,
        )
        self._saved_at = time.monotonic()
        self._stall_s = self._saved_at - started_at
        self._log.add(
            events.checkpoint(step, saved.size_bytes, is_best, should_evaluate, saved.sha256)
        )
        self._log.flush()

    def look_for_the_cause(self) -> None:
        """Look whether something was not finite, when an error has ended training.

        Raises:
            NotFinite: It was.
        """
        if self._has_started:  # Else its very first reset failed.
            self.finiteness.look()

    def _say_once(self, remark: str) -> None:
        if remark and remark != self._remark:
            self._remark = remark
            logger.warning("%s", remark)
            self._log.add(events.status(self.num_timesteps, "running", remark))

    def progress(self) -> dict[str, Any]:
        """Return what this callback must know to go on."""
        return {name: getattr(self, name) for name in PROGRESS_ATTRIBUTES}

    def set_progress(self, progress: dict[str, Any], is_same_task: bool) -> None:
        """Go on from what `progress` returned; in another task no return was the best yet."""
        for name in PROGRESS_ATTRIBUTES:
            setattr(self, name, progress[name])
        if not is_same_task:
            self._best_return = -math.inf

    def mean_return(self) -> float:
        """Return the mean return of the last 100 training episodes, -inf before the first."""
        buffer = self.model.ep_info_buffer
        if not buffer:
            return -math.inf
        mean = float(sum(info["r"] for info in buffer) / len(buffer))
        # Returns of 1e308 are numbers, and so is their mean, but not their sum.
        return mean if math.isfinite(mean) else sum(info["r"] / len(buffer) for info in buffer)

    def _record_episodes(self, dones: Any) -> None:
        for env in dones.nonzero()[0]:
            self.finiteness.look_at_episode(self.locals["infos"][env])
            info = self.locals["infos"][env].get("episode")
            if info is not None:
                self.episodes += 1
                told = info.get("exact", info["r"])
                self._log.add(events.episode(self.num_timesteps, told, info["l"], int(env)))

    def _record_progress(self) -> None:
        now = time.monotonic()
        speed = (self.num_timesteps - self._speed_step) / (now - self._speed_at)
        self._speed_step, self._speed_at = self.num_timesteps, now
        memory_mb = self._process.memory_info().rss / 1e6
        machine = {"rlgym/steps_per_s": speed, "rlgym/memory_mb": memory_mb}
        self._log.add(events.metrics(self.num_timesteps, machine))
        self._log.flush()
        if now - self._printed_at > PRINT_INTERVAL_S:
            self._printed_at = now
            self.report(f"{speed:,.0f} steps/s")

    def report(self, note: str) -> None:
        """Print one line on where training stands."""
        told = "no episode yet"
        if self.model.ep_info_buffer:
            mean = words.number(self.mean_return())
            told = f"{self.episodes:,} episodes, mean return {mean}"
        step, total = f"{self.num_timesteps:,}", f"{self._spec.total_timesteps:,}"
        logger.info("step %s of %s, %s, %s", step, total, told, note)


def _next_multiple(step: int, interval: int) -> int:
    return (step // interval + 1) * interval
