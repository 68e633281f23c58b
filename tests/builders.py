"""What tests begin with: specs that train in a moment, runs, their directories and checkpoints."""

from pathlib import Path
from typing import Any, Protocol

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.experiments.models import Checkpoint, Experiment, Run, new_run_id
from apps.experiments.statuses import RunStatus
from apps.rundir.checkpoints import MANIFEST, STATE, TORCH_FILE
from apps.rundir.directory import RunDirectory
from apps.rundir.events import Event, decode
from apps.rundir.files import sha256_of, write_json
from apps.rundir.log import read_lines
from apps.spec.run import RunSpec

TINY_PPO = {
    "algorithm": "ppo",
    "environment": "CartPole-v1",
    "total_timesteps": 256,
    "hyperparameters": {"n_steps": 64, "batch_size": 32, "n_epochs": 1, "net_arch": [8]},
}
TINY_DQN = {
    "algorithm": "dqn",
    "environment": "CartPole-v1",
    "total_timesteps": 256,
    "hyperparameters": {"learning_starts": 32, "buffer_size": 1000, "net_arch": [8]},
}
TINY = {"ppo": TINY_PPO, "dqn": TINY_DQN}
_REPLAY = {"learning_starts": 40, "buffer_size": 500, "batch_size": 16, "net_arch": [8]}
_ROLLOUT = {"n_steps": 32, "batch_size": 16, "net_arch": [8]}
SMALL: dict[str, dict[str, Any]] = {
    "ppo": {**_ROLLOUT, "n_epochs": 2},
    "dqn": {**_REPLAY, "target_update_interval": 50},
    "a2c": {"n_steps": 8, "net_arch": [8]},
    "sac": {**_REPLAY, "train_freq": 4},
    "td3": {**_REPLAY, "train_freq": 4, "noise_type": "normal"},
    "ddpg": {**_REPLAY, "train_freq": 4, "noise_type": "ornstein-uhlenbeck"},
    "trpo": {**_ROLLOUT, "n_critic_updates": 2},
    "recurrent_ppo": {**_ROLLOUT, "n_epochs": 2, "lstm_hidden_size": 4},
    "maskable_ppo": {**_ROLLOUT, "n_epochs": 2},
    "qrdqn": {**_REPLAY, "target_update_interval": 50, "n_quantiles": 5},
    "tqc": {**_REPLAY, "train_freq": 4, "n_quantiles": 5},
    "crossq": {**_REPLAY, "train_freq": 4, "critic_net_arch": [16]},
    "ars": {"n_delta": 2},
}
TO_PAUSE: dict[str, dict[str, Any]] = {
    "ppo": {"n_steps": 64, "batch_size": 32, "n_epochs": 2, "net_arch": [8]},
    "dqn": {"learning_starts": 50, "buffer_size": 500, "net_arch": [8]},
}


def make_run(**fields: object) -> Run:
    """Make a run with a directory and a row, without ringing the queue; fields win."""
    spec = RunSpec.from_dict(TINY_PPO)
    experiment, _ = Experiment.objects.get_or_create(name="Tests")
    values: dict[str, object] = {
        "id": new_run_id(),
        "name": "tiny",
        "experiment": experiment,
        "spec": spec.as_dict(),
        "algorithm": spec.algorithm,
        "environment": spec.environment,
        "seed": spec.seed,
        "total_timesteps": spec.total_timesteps,
        **fields,
    }
    run = Run(**values)
    record = {
        "id": run.pk,
        "name": run.name,
        "experiment": run.experiment.name,
        "created_at": run.created_at.isoformat(),
    }
    run.directory.create(run.spec, record)
    run.save(force_insert=True)
    return run


def give_checkpoint(run: Run, step: int, **fields: object) -> Checkpoint:
    """Write a checkpoint whose files nobody can load but whose hashes are right, and its row."""
    folder = run.directory.checkpoints / str(step)
    folder.mkdir(parents=True)
    for name in (STATE, TORCH_FILE):
        (folder / name).write_bytes(f"{name} of step {step}".encode())
    files = {
        name: {"sha256": sha256_of(folder / name), "size_bytes": (folder / name).stat().st_size}
        for name in (STATE, TORCH_FILE)
    }
    write_json(folder / MANIFEST, {"step": step, "files": files})
    return run.checkpoints.create(step=step, sha256=sha256_of(folder / MANIFEST), **fields)


def make_directory(folder: Path, spec: RunSpec) -> RunDirectory:
    """Make an untrained run directory."""
    return RunDirectory(folder).create(spec.as_dict(), {"id": folder.name, "name": folder.name})


def make_row(**fields: Any) -> Run:
    """Make a run's row alone, without a directory."""
    experiment, _ = Experiment.objects.get_or_create(name="Tests")
    values: dict[str, Any] = {
        "name": "tiny",
        "experiment": experiment,
        "spec": {},
        "algorithm": "ppo",
        "environment": "CartPole-v1",
        "seed": 1,
        "total_timesteps": 100,
        **fields,
    }
    if values.get("status") == RunStatus.RUNNING:
        values = {"owner": "here:1", "attempt": 1, **values}
    return Run.objects.create(**values)


def with_checkpoint(status: RunStatus, step: int = 128) -> Run:
    run = make_run(status=status, attempt=1)
    give_checkpoint(run, step)
    return run


class GiveTrained(Protocol):
    """Makes a run that has ended."""

    def __call__(self, environment: str = "CartPole-v1") -> Run:
        """Return a completed run with its checkpoint, which waits for its evaluation."""


def events_of(directory: RunDirectory, kind: str | None = None) -> list[Event]:
    lines, _ = read_lines(directory.log, max_bytes=1 << 24)
    return [event for event in map(decode, lines) if kind in (None, event["type"])]


def small_spec(algorithm: str, actions: str = "", **changes: Any) -> RunSpec:
    """Return a spec that trains in about a second."""
    able = ALGORITHMS[algorithm].action_spaces
    actions = actions or ("discrete" if "discrete" in able else "box")
    hyperparameters = {**SMALL[algorithm], **changes.pop("hyperparameters", {})}
    return RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": "ShortWalk-v0",
            "environment_kwargs": {"actions": actions},
            "total_timesteps": 320,
            "hyperparameters": hyperparameters,
            **changes,
        }
    )


def spec_of(algorithm: str, environment: str, **changes: Any) -> RunSpec:
    hyperparameters = {**TO_PAUSE[algorithm], **changes.pop("hyperparameters", {})}
    return RunSpec.from_dict(
        {
            "algorithm": algorithm,
            "environment": environment,
            "total_timesteps": 1200,
            "hyperparameters": hyperparameters,
            **changes,
        }
    )
