"""Everything a run needs to go on, beside the model's weights: gathered, and put back.

Taken between two rollouts, where the library holds no half-done work. What comes back is the run
itself: generators, environments amid their episodes, counters, schedules, replay buffer.
"""

import copy
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecEnvWrapper

from apps.engine import vec_normalize
from apps.engine.journal import CannotRestore, journal_of
from apps.engine.networks import load_networks
from apps.engine.spec import RunSpec
from apps.engine.transitions import load_buffer, position_of

# Attributes of the library's models that change while they learn, beside their networks.
MODEL_ATTRIBUTES = (
    "num_timesteps", "_episode_num", "_n_updates", "_n_calls", "_current_progress_remaining",
    "_last_obs", "_last_episode_starts", "_last_original_obs", "_last_lstm_states",
    "ep_info_buffer", "ep_success_buffer", "exploration_rate", "action_noise",
)  # fmt: skip
LOGGER_ATTRIBUTES = ("name_to_value", "name_to_count", "name_to_excluded")
# State-dependent exploration draws its matrices before a rollout begins.
NOISE_ATTRIBUTES = ("exploration_mat", "exploration_matrices")
VECTOR_ATTRIBUTES = (
    "buf_obs", "buf_dones", "buf_rews", "buf_infos", "actions", "_seeds", "_options",
)  # fmt: skip
# When one of these differs, the environments of a checkpoint are not those of the run.
ENVIRONMENT_FIELDS = ("environment", "environment_kwargs", "wrappers", "frame_stack", "n_envs")
MONITOR_ATTRIBUTES = ("rewards", "needs_reset", "total_steps", "current_reset_info")


@dataclass(slots=True)
class Restored:
    """What came back and what did not.

    Attributes:
        not_restored: Names of what did not, each with its reason; empty when the run is the same.
        finish: To be called when the first rollout begins: generators come last, after whatever
            the library draws on its way there.
    """

    not_restored: dict[str, str] = field(default_factory=dict)
    finish: Callable[[], None] = lambda: None


def capture(model: BaseAlgorithm, spec: RunSpec, progress: dict[str, Any]) -> dict[str, Any]:
    """Gather the state of a run.

    Args:
        model: The model, between two rollouts.
        spec: The run's spec.
        progress: What the callback wants back.
    """
    env = model.get_env()
    assert env is not None
    return {
        "spec": spec.as_dict(),
        "model": {name: getattr(model, name) for name in MODEL_ATTRIBUTES if hasattr(model, name)},
        "logger": {name: dict(getattr(model.logger, name)) for name in LOGGER_ATTRIBUTES},
        "noise": _noise_matrices(model),
        "buffer": position_of(model),
        "threads": torch.get_num_threads(),
        "environments": _capture_environments(env),
        "normalizer": vec_normalize.step_state(env),
        "generators": _generators(model),
        "progress": progress,
    }


def restore(model: BaseAlgorithm, spec: RunSpec, folder: Path, state: dict[str, Any]) -> Restored:
    """Put a captured state back into a new model.

    A branch may have another spec: whatever its changes make meaningless stays new and is named.

    Args:
        model: A new model with its environment, built from `spec`.
        spec: The spec of the run that goes on.
        folder: The checkpoint's folder.
        state: What `capture` gathered.

    Raises:
        DamagedCheckpoint: The networks have other shapes.
    """
    restored = Restored()
    # Sums come out another way in the last bit when other threads share the work.
    torch.set_num_threads(state.get("threads", torch.get_num_threads()))
    if state["spec"]["seed"] != spec.seed:
        restored.not_restored["generators"] = "the seed is another now"
    before = RunSpec.from_dict(state["spec"])
    load_networks(model, folder)
    for name, value in state["model"].items():
        setattr(model, name, value)
    env = model.get_env()
    assert env is not None
    notes = vec_normalize.restore(env, folder, state.get("normalizer", {}))
    restored.not_restored.update(notes)
    if any(getattr(before, name) != getattr(spec, name) for name in ENVIRONMENT_FIELDS):
        _start_anew(model, env, restored, "the environments are others now")
    elif notes:
        _start_anew(model, env, restored, "what is normalised is another now")
    else:
        _restore_environments(model, env, state["environments"], restored)
    if reason := load_buffer(model, folder, state.get("buffer")):
        restored.not_restored["replay buffer"] = reason

    noise = copy.deepcopy(state["model"].get("action_noise"))

    def finish() -> None:
        if noise is not None:
            # `learn()` has reset it on its way, and holds this very object by now.
            vars(model.action_noise).update(vars(noise))
        for name, value in state["logger"].items():
            getattr(model.logger, name).update(value)
        _set_noise_matrices(model, state["noise"])
        if before.seed == spec.seed:
            _set_generators(model, state["generators"], restored)

    restored.finish = finish
    return restored


def _noise_matrices(model: BaseAlgorithm) -> dict[str, Any]:
    distribution = _noise_distribution(model)
    return {
        name: getattr(distribution, name)
        for name in NOISE_ATTRIBUTES
        if hasattr(distribution, name)
    }


def _set_noise_matrices(model: BaseAlgorithm, matrices: dict[str, Any]) -> None:
    distribution = _noise_distribution(model)
    for name, value in matrices.items():
        setattr(distribution, name, value)


def _noise_distribution(model: BaseAlgorithm) -> Any:
    policy = getattr(model.policy, "actor", model.policy)
    return getattr(policy, "action_dist", None)


def _base(env: VecEnv) -> DummyVecEnv:
    while isinstance(env, VecEnvWrapper):
        env = env.venv
    assert isinstance(env, DummyVecEnv)
    return env


def _capture_environments(env: VecEnv) -> dict[str, Any]:
    base = _base(env)
    for one in base.envs:
        monitor = _monitor(one)  # Its histories grow for ever, and nothing reads them.
        for history in (monitor.episode_returns, monitor.episode_lengths, monitor.episode_times):
            history.clear()
    journals = [journal_of(one) for one in base.envs]
    if all(journal is None for journal in journals):
        return {"method": "pickle", "pickled": cloudpickle.dumps(base)}
    return {
        "method": "replay",
        "episodes": [journal.so_far() if journal else None for journal in journals],
        "buffers": {
            name: getattr(base, name) for name in VECTOR_ATTRIBUTES if hasattr(base, name)
        },
        "outside": [_state_outside(one) for one in base.envs],
        "monitors": [
            {name: getattr(_monitor(one), name) for name in MONITOR_ATTRIBUTES}
            for one in base.envs
        ],
    }


def _restore_environments(
    model: BaseAlgorithm, env: VecEnv, state: dict[str, Any], restored: Restored
) -> None:
    base = _base(env)
    try:
        if state["method"] == "pickle":
            _unpickle_into(base, state["pickled"])
        else:
            _play_again(base, state)
    except (CannotRestore, AttributeError, TypeError, ValueError) as error:
        _start_anew(model, env, restored, str(error))


def _start_anew(model: BaseAlgorithm, env: VecEnv, restored: Restored, why: str) -> None:
    restored.not_restored["environment state"] = why
    model._last_obs = env.reset()  # type: ignore[assignment]
    normalizer = model.get_vec_normalize_env()
    model._last_original_obs = normalizer.get_original_obs() if normalizer else None
    model._last_episode_starts = np.ones((env.num_envs,), dtype=bool)


def _unpickle_into(base: DummyVecEnv, pickled: bytes) -> None:
    saved: DummyVecEnv = cloudpickle.loads(pickled)
    if saved.num_envs != base.num_envs or saved.observation_space != base.observation_space:
        raise CannotRestore("the environments are others now")
    base.__dict__.update(saved.__dict__)


def _play_again(base: DummyVecEnv, state: dict[str, Any]) -> None:
    if len(state["episodes"]) != base.num_envs:
        raise CannotRestore("the number of environments is another now")
    for env, episode, totals in zip(base.envs, state["episodes"], state["monitors"], strict=True):
        journal = journal_of(env)
        if episode is None or journal is None:
            raise CannotRestore("its episode was too long to be played again")
        journal.play_again(episode)
        monitor = _monitor(env)
        for name, value in totals.items():
            setattr(monitor, name, value)
    for env, layers in zip(base.envs, state["outside"], strict=True):
        for layer, attributes in zip(_layers_outside(env), layers, strict=True):
            vars(layer).update(attributes)
    base.__dict__.update(state["buffers"])


def _layers_outside(env: Any) -> Iterator[Any]:
    """Yield the wrappers around the monitor: those that are for training only."""
    while not isinstance(env, Monitor):
        yield env
        env = env.env


def _state_outside(env: Any) -> list[dict[str, Any]]:
    return [
        {name: value for name, value in vars(layer).items() if name != "env"}
        for layer in _layers_outside(env)
    ]


def _monitor(env: Any) -> Monitor:
    while not isinstance(env, Monitor):
        env = env.env
    return env


def _generators(model: BaseAlgorithm) -> dict[str, Any]:
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),  # noqa: NPY002 - the library draws from it
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "action space": model.action_space.np_random.bit_generator.state,
    }


def _set_generators(model: BaseAlgorithm, saved: dict[str, Any], restored: Restored) -> None:
    random.setstate(saved["python"])
    np.random.set_state(saved["numpy"])  # noqa: NPY002
    torch.set_rng_state(saved["torch"])
    model.action_space.np_random.bit_generator.state = saved["action space"]
    if saved["cuda"] and torch.cuda.device_count() == len(saved["cuda"]):
        torch.cuda.set_rng_state_all(saved["cuda"])
    elif saved["cuda"]:
        restored.not_restored["CUDA generators"] = "the devices are others now"
