"""Train one spec in this process and write its run directory.

The run directory's lock is held from the first line to the last. The log's `status` line at the
end says how it ended, also when an exception leaves.
"""

import logging
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import torch
from stable_baselines3.common.base_class import BaseAlgorithm

from apps.catalogue.algorithms.backends import BACKENDS
from apps.engine.checkpoints import loading, state
from apps.engine.control import Control
from apps.engine.environments.journal import with_journal
from apps.engine.models.building import build_model
from apps.engine.models.weights import load_weights
from apps.engine.process import exit_is_failure
from apps.engine.stepping.choosing import Choice, vectorized
from apps.engine.training.callback import StopTraining, TrainingCallback
from apps.engine.training.dumps import options_of_learn
from apps.engine.training.log import EventLog, scalar_logger
from apps.engine.training.mirror import Mirror
from apps.errors import DamagedCheckpoint, DiskFull, Diverged, EngineError
from apps.protocol.messages import StopStatus
from apps.rundir import events, provenance
from apps.rundir.checkpoints import steps_of, verify
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json, write_json
from apps.rundir.log import LogWriter
from apps.spec import schedules
from apps.spec.run import RunSpec

logger = logging.getLogger(__name__)


class NoEpisode(EngineError):
    """Training went through all its steps and not one episode ended."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a training ended.

    Attributes:
        status: `completed`, or what a requested stop ends in.
        step: Environment steps done.
        episodes: Episodes that ended.
        reason: Why it was stopped, empty when completed.
    """

    status: Literal["completed"] | StopStatus
    step: int
    episodes: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Which execution of a run this is.

    Attributes:
        number: 1 for the first; a later one goes on from a checkpoint.
        manifests: Hash of each checkpoint's manifest by step, as the record remembers them; None:
            nobody does, and each checkpoint is judged by its own manifest alone.
        threads: The most threads that it may compute in; None: all there are. What goes on from a
            checkpoint takes as many as it began with.
    """

    number: int = 1
    manifests: dict[int, str] | None = None
    threads: int | None = None

    def manifest_of(self, step: int) -> str | None:
        """Return the hash of a manifest that is remembered; see `rundir.checkpoints.verify`."""
        return None if self.manifests is None else self.manifests.get(step, "")


FIRST_ATTEMPT = Attempt()


@dataclass(frozen=True, slots=True)
class _Latest:
    """The latest checkpoint that is intact.

    Attributes:
        step: Its step.
        manifest: Its manifest.
        state: What `capture` gathered.
    """

    step: int
    manifest: dict[str, Any]
    state: dict[str, Any]


def train(
    spec: RunSpec,
    directory: RunDirectory,
    control: Control | None = None,
    keep_checkpoints: int = 3,
    command: str = "",
    attempt: Attempt = FIRST_ATTEMPT,
) -> Outcome:
    """Train a spec to its last step, or to a requested stop.

    An attempt after the first, and a child of another run, go on from the latest checkpoint that
    is intact; a later attempt without one starts over and says so, and a child does not start. A
    spec with `weights` starts from the networks and optimizers of `init.zip`.

    Args:
        spec: A validated spec.
        directory: A created run directory (`RunDirectory.create`).
        control: Where a stop may be asked for; obeyed between two rollouts.
        keep_checkpoints: How many of the latest checkpoints to keep.
        command: What the user typed, for the provenance.
        attempt: Which attempt this is, and what is known of earlier ones.

    Raises:
        RunDirectoryBusy: Somebody trains in this directory.
        UnknownEnvironment: The environment cannot be made.
        InvalidSpec: The algorithm cannot act in the environment.
        DamagedCheckpoint: A child has no intact checkpoint to go on from.
        RefusedFile: The weights to start from are not those of the spec, or do not fit.
        NoEpisode: No episode ended in all the steps.
        NotFinite: A reward, an observation or a weight was NaN or infinite.
        DiskFull: The log or a checkpoint could not be written.
    """
    control = control or Control()
    with (
        directory.locked(),
        LogWriter(directory.log) as writer,
        Mirror(directory.tensorboard) as mirror,
    ):
        log = EventLog(writer, mirror if spec.tensorboard else None)
        directory.clear_leftovers()
        begins_at = max(steps_of(directory), default=0)
        with _StatusLines(log, begins_at) as lines, exit_is_failure():
            latest, notes = _latest_intact(directory, attempt)
            goes_on = attempt.number > 1 or latest or spec.weights
            before = state.vectorization_before(latest.state, spec) if latest else ""
            # Sums come out another way in the last bit when other threads share the work.
            threads = latest.state.get("threads") if latest else None
            env, choice = vectorized(spec, with_journal, before)
            if choice.is_fallback:
                log.add(events.status(begins_at, "running", choice.reason))
            try:
                model = lines.model = build_model(spec, env, threads, attempt.threads)
                model.set_logger(scalar_logger(log))
                _write_provenance(spec, directory, model, command, choice)
                callback = TrainingCallback(spec, directory, log, control, keep_checkpoints)
                if goes_on:
                    _go_on(spec, model, callback, log, attempt.number, latest, notes)
                latest = None  # It may be large.
                outcome = _learn(spec, model, callback, control)
            finally:
                env.close()
            lines.ended(outcome)
    return outcome


def _latest_intact(
    directory: RunDirectory, attempt: Attempt
) -> tuple[_Latest | None, dict[str, str]]:
    """Read the latest checkpoint that is intact, and say which later ones are not, and why.

    Raises:
        DamagedCheckpoint: None is, and the run cannot begin at its first step, being a child.
    """
    record = read_json(directory.record) if directory.record.exists() else {}
    # What the verb that made a child passed over, before its first attempt.
    notes: dict[str, str] = dict(record.get("passed_over", {})) if attempt.number == 1 else {}
    is_child = bool(record.get("parent_step")) and record.get("relation") != "seed"
    steps = {*steps_of(directory), *(attempt.manifests or ())}
    for step in sorted(steps, reverse=True):
        try:
            manifest = verify(directory, step, attempt.manifest_of(step))
            return _Latest(step, manifest, loading.load_state(directory, step)), notes
        except DamagedCheckpoint as error:
            logger.warning("%s", error)
            notes[f"checkpoint {step}"] = str(error)
    # A first attempt finds a checkpoint only where one was copied for it to go on from.
    if is_child or (attempt.number == 1 and steps):
        raise DamagedCheckpoint(
            "none of the checkpoints that it goes on from is intact "
            f"({'; '.join(notes.values()) or 'there is none'}); make another run of its parent"
        )
    return None, notes


def _go_on(
    spec: RunSpec,
    model: BaseAlgorithm,
    callback: TrainingCallback,
    log: EventLog,
    number: int,
    latest: _Latest | None,
    notes: dict[str, str],
) -> None:
    """Bring model and callback to a checkpoint, and say so in the log.

    Without one the run begins, from the weights that its spec names or from new ones: nothing of
    an earlier attempt is left then, so it never calls itself exact.
    """
    directory = callback.directory
    if latest:
        folder = directory.checkpoints / str(latest.step)
        restored = state.restore(model, spec, folder, latest.state)
        if not restored.has_begun_anew:  # Else the buffer's tip was written once more.
            callback.chunks.remember(model, folder, latest.manifest["files"])
        callback.set_progress(latest.state["progress"], restored.is_same_task)
        callback.finish_restoring = restored.finish
        step, notes = latest.step, {**notes, **restored.not_restored}
        if words := schedules.seam(RunSpec.from_dict(latest.state["spec"]), spec, step):
            notes["schedules"] = words
        # A damaged checkpoint costs time, not exactness: the steps are taken again.
        fidelity = "warm" if restored.not_restored else "exact"
    else:
        if spec.weights:
            load_weights(model, directory.init, spec.weights)
        step, fidelity = 0, "weights-only" if spec.weights else "fresh"
        if number > 1:
            notes["start"] = (
                "there is no intact checkpoint to go on from: it starts over at step 0"
            )
    log.add(events.attempt(step, number, fidelity, notes))
    log.flush()


def _learn(
    spec: RunSpec, model: BaseAlgorithm, callback: TrainingCallback, control: Control
) -> Outcome:
    is_new = model.num_timesteps == 0
    try:
        model.learn(
            max(spec.total_timesteps - model.num_timesteps, 0),
            callback=callback,
            reset_num_timesteps=is_new,
            **options_of_learn(spec),
        )
    except StopTraining:
        callback.save(should_evaluate=False)
        callback.report(f"{control.ends_as}: {control.reason}")
        return Outcome(control.ends_as, model.num_timesteps, callback.episodes, control.reason)
    except (Diverged, ValueError):  # The library's distributions raise the latter for NaN.
        callback.look_for_the_cause()
        raise
    callback.save(should_evaluate=True)
    callback.report("completed")
    if callback.episodes == 0:
        raise NoEpisode(
            f"no episode ended in {model.num_timesteps} steps, so there is nothing to judge the "
            "run by; raise total_timesteps or give the environment a step limit"
        )
    return Outcome("completed", model.num_timesteps, callback.episodes)


class _StatusLines:
    """Writes the status lines around a training; an exception that leaves it is a failure."""

    def __init__(self, log: EventLog, step: int) -> None:
        self._log = log
        self._step = step
        self.model: BaseAlgorithm | None = None

    def __enter__(self) -> Self:
        self._log.add(events.status(self._step, "running"))
        self._log.flush()
        return self

    def ended(self, outcome: Outcome) -> None:
        """Note how the training ended."""
        self._log.add(events.status(outcome.step, outcome.status, outcome.reason))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None and issubclass(kind, DiskFull):
            return  # Nothing can be written, and it is no failure: the run goes on once it can.
        if kind is not None:
            words = str(error) if issubclass(kind, EngineError) else f"{kind.__name__}: {error}"
            step = max(self._step, self.model.num_timesteps) if self.model else self._step
            self._log.add(events.status(step, "failed", words))
        self._log.flush()


def _write_provenance(
    spec: RunSpec, directory: RunDirectory, model: BaseAlgorithm, command: str, choice: Choice
) -> None:
    env = model.get_env()
    assert env is not None
    shifts = {
        name: env.get_attr(name)[0] if env.has_attr(name) else []
        for name in ("shifted", "loading_lines")
    }
    write_json(
        directory.provenance,
        {
            "command": command,
            **provenance.code_state(),
            **provenance.host(),
            "packages": provenance.package_versions(BACKENDS[spec.backend].distributions),
            "algorithm_class": spec.schema.class_path,
            "device": str(model.device),
            "device_name": (
                torch.cuda.get_device_name(model.device) if model.device.type == "cuda" else "CPU"
            ),
            "torch_threads": torch.get_num_threads(),
            "vectorization": choice.as_dict(),
            "spaces": shifts,
            "started_at": provenance.now(),
        },
    )
