"""Everything a run needs to go on, beside the model's weights: gathered, and put back.

Taken between two rollouts, where the library holds no half-done work. What comes back is the run
itself: generators, environments amid their episodes, counters, schedules, replay buffer.
"""

import copy
import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from apps.engine.checkpoints.buffer import cut_episodes, load_buffer, position_of
from apps.engine.environments.pickles import CannotRestore
from apps.engine.models.networks import load_networks
from apps.engine.stepping import normalized, states
from apps.spec.run import RunSpec

# Attributes of the library's models that change while they learn, beside their networks.
MODEL_ATTRIBUTES = (
    "num_timesteps",
    "_episode_num",
    "_n_updates",
    "_n_calls",
    "_current_progress_remaining",
    "_last_obs",
    "_last_episode_starts",
    "_last_original_obs",
    "_last_lstm_states",
    "ep_info_buffer",
    "ep_success_buffer",
    "exploration_rate",
    "action_noise",
)
# Of these a model keeps its own when its environments begin anew: they belong to an episode.
EPISODE_ATTRIBUTES = frozenset({"_last_lstm_states", "action_noise"})
# Returns of other environments say nothing of these.
RETURN_ATTRIBUTES = frozenset({"ep_info_buffer", "ep_success_buffer"})
LOGGER_ATTRIBUTES = ("name_to_value", "name_to_count", "name_to_excluded")
# State-dependent exploration draws its matrices before a rollout begins.
NOISE_ATTRIBUTES = ("exploration_mat", "exploration_matrices")
# When one of these differs, the environments of a checkpoint are not those of the run.
TASK_FIELDS = ("environment", "environment_kwargs", "wrappers")
ENVIRONMENT_FIELDS = (*TASK_FIELDS, "frame_stack", "n_envs")


@dataclass(slots=True)
class Restored:
    """What came back and what did not.

    Attributes:
        not_restored: Names of what did not, each with its reason; empty when the run is the same.
        is_same_task: Whether returns compare with those before.
        has_begun_anew: Whether the environments begin with new episodes, those before cut off.
        finish: To be called when the first rollout begins: generators come last, after whatever
            the library draws on its way there.
    """

    not_restored: dict[str, str] = field(default_factory=dict)
    is_same_task: bool = True
    has_begun_anew: bool = False
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
        "environments": states.capture(env),
        "vectorization": states.vectorization_of(env),
        "normalizer": normalized.step_state(env),
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
    if state["spec"]["seed"] != spec.seed:
        restored.not_restored["generators"] = "the seed is another now"
    before = RunSpec.from_dict(state["spec"])
    load_networks(model, folder)
    own = {name: getattr(model, name) for name in MODEL_ATTRIBUTES if hasattr(model, name)}
    for name, value in state["model"].items():
        setattr(model, name, value)
    restored.is_same_task = not _differs(before, spec, TASK_FIELDS)
    if not restored.is_same_task:
        _keep(model, own, RETURN_ATTRIBUTES)
    _restore_environments(model, spec, folder, state, restored)
    if reason := load_buffer(model, folder, state.get("buffer")):
        restored.not_restored["replay buffer"] = reason
    noise = None
    if restored.has_begun_anew:
        _keep(model, own, EPISODE_ATTRIBUTES)
        cut_episodes(model)
    else:
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


def _restore_environments(
    model: BaseAlgorithm,
    spec: RunSpec,
    folder: Path,
    state: dict[str, Any],
    restored: Restored,
) -> None:
    """Put the environments and what normalises them back, or say why they begin anew."""
    env = model.get_env()
    assert env is not None
    notes = normalized.restore(env, folder, state.get("normalizer", {}))
    restored.not_restored.update(notes)
    if _differs(RunSpec.from_dict(state["spec"]), spec, ENVIRONMENT_FIELDS):
        _start_anew(model, env, restored, "the environments are others now")
    elif notes:
        _start_anew(model, env, restored, "what is normalised is another now")
    else:
        try:
            states.restore(env, state["environments"])
        except CannotRestore as error:
            _start_anew(model, env, restored, str(error))


def vectorization_before(state: Mapping[str, Any], spec: RunSpec) -> str:
    """Return how a checkpoint's environments were stepped, for a spec that goes on from it.

    Empty where the spec asks for other environments, or for another way to step them.
    """
    before = RunSpec.from_dict(state["spec"])
    if before.vectorization != spec.vectorization or _differs(before, spec, ENVIRONMENT_FIELDS):
        return ""
    return str(state.get("vectorization", "dummy"))


def _differs(before: RunSpec, spec: RunSpec, names: Iterable[str]) -> bool:
    return any(getattr(before, name) != getattr(spec, name) for name in names)


def _keep(model: BaseAlgorithm, own: Mapping[str, Any], names: Iterable[str]) -> None:
    """Give a model back what it had of its own."""
    for name in own.keys() & names:
        setattr(model, name, own[name])


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


def _start_anew(model: BaseAlgorithm, env: VecEnv, restored: Restored, why: str) -> None:
    restored.not_restored["environment state"] = why
    restored.has_begun_anew = True
    model._last_obs = env.reset()  # type: ignore[assignment]
    normalizer = model.get_vec_normalize_env()
    model._last_original_obs = normalizer.get_original_obs() if normalizer else None
    model._last_episode_starts = np.ones((env.num_envs,), dtype=bool)


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
