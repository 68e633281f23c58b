"""The state of the environments that a run trains in: taken from them, and put back.

Environments in this process are pickled or played again from their journals (see `journal`);
those that step natively say their state themselves.
"""

from collections.abc import Iterator
from typing import Any, cast

import cloudpickle
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from apps.engine.journal import CannotRestore, journal_of
from apps.engine.native_vec_env import NativeVecEnv

VECTOR_ATTRIBUTES = (
    "buf_obs", "buf_dones", "buf_rews", "buf_infos", "actions", "_seeds", "_options",
)  # fmt: skip
MONITOR_ATTRIBUTES = ("rewards", "needs_reset", "total_steps", "current_reset_info")


def vectorization_of(env: VecEnv) -> str:
    """Return by which of the vectorisations environments are stepped."""
    return "native" if isinstance(env.unwrapped, NativeVecEnv) else "dummy"


def capture(env: VecEnv) -> dict[str, Any]:
    """Gather the state of all environments, between two steps."""
    base = env.unwrapped
    if isinstance(base, NativeVecEnv):
        return {"method": "native", "state": base.state()}
    assert isinstance(base, DummyVecEnv)
    return _capture_in_process(base)


def restore(env: VecEnv, state: dict[str, Any]) -> None:
    """Bring environments to where a captured state left them.

    Raises:
        CannotRestore: They cannot be brought there; some of them may have been.
    """
    base = env.unwrapped
    is_native = state["method"] == "native"
    if is_native != isinstance(base, NativeVecEnv):
        raise CannotRestore("the environments are stepped in another way now")
    try:
        if isinstance(base, NativeVecEnv):
            base.restore(state["state"])
        elif state["method"] == "pickle":
            _unpickle_into(cast(DummyVecEnv, base), state["pickled"])
        else:
            _play_again(cast(DummyVecEnv, base), state)
    except (AttributeError, TypeError, ValueError) as error:
        raise CannotRestore(str(error)) from error


def _capture_in_process(base: DummyVecEnv) -> dict[str, Any]:
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
