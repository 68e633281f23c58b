"""The state of the environments that a run trains in: taken from them, and put back.

Each environment is pickled, or played again from its journal (see `journal`). What steps many of
them in a way of its own says their state itself.
"""

from collections.abc import Iterator
from typing import Any, Protocol, cast

import cloudpickle
import gymnasium
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from apps.engine.journal import CannotRestore, journal_of

Env = gymnasium.Env[Any, Any]
VECTOR_ATTRIBUTES = (
    "buf_obs", "buf_dones", "buf_rews", "buf_infos", "actions", "_seeds", "_options",
)  # fmt: skip
MONITOR_ATTRIBUTES = ("rewards", "needs_reset", "total_steps", "current_reset_info")


class SaysItsState(Protocol):
    """Vectorised environments that are not single ones of this process.

    Attributes:
        vectorization: Which of the vectorisations they are.
    """

    vectorization: str

    def state(self) -> Any:
        """Return what another process needs to go on."""

    def restore(self, state: Any) -> None:
        """Go on where a state was taken; raises CannotRestore."""


def vectorization_of(env: VecEnv) -> str:
    """Return by which of the vectorisations environments are stepped."""
    return str(getattr(env.unwrapped, "vectorization", "dummy"))


def capture(env: VecEnv) -> dict[str, Any]:
    """Gather the state of all environments, between two steps."""
    base = env.unwrapped
    if isinstance(base, DummyVecEnv):
        return _capture_in_process(base)
    return {
        "method": vectorization_of(env),
        "state": cast(SaysItsState, base).state(),
    }


def restore(env: VecEnv, state: dict[str, Any]) -> None:
    """Bring environments to where a captured state left them.

    Raises:
        CannotRestore: They cannot be brought there; some of them may have been.
    """
    base = env.unwrapped
    before = "dummy" if state["method"] in {"pickle", "replay"} else state["method"]
    if before != vectorization_of(env):
        raise CannotRestore("the environments are stepped in another way now")
    try:
        if state["method"] == "pickle":
            _unpickle_into(cast(DummyVecEnv, base), state["pickled"])
        elif state["method"] == "replay":
            _play_again(cast(DummyVecEnv, base), state)
        else:
            cast(SaysItsState, base).restore(state["state"])
    except (AttributeError, TypeError, ValueError) as error:
        raise CannotRestore(str(error)) from error


def capture_one(env: Env) -> dict[str, Any]:
    """Gather the state of a single environment, with all of its wrappers."""
    _forget_history(env)
    journal = journal_of(env)
    if journal is None:
        return {"pickled": cloudpickle.dumps(env)}
    return {"episode": journal.so_far(), **_beside_journal(env)}


def restore_one(env: Env, state: dict[str, Any]) -> Env:
    """Return the environment of a captured state; one with a journal is brought there itself.

    Raises:
        CannotRestore: It cannot be brought there.
    """
    if "pickled" in state:
        return cast(Env, cloudpickle.loads(state["pickled"]))
    _play_one_again(env, state["episode"], state["monitor"], state["outside"])
    return env


def _capture_in_process(base: DummyVecEnv) -> dict[str, Any]:
    for one in base.envs:
        _forget_history(one)
    journals = [journal_of(one) for one in base.envs]
    if all(journal is None for journal in journals):
        return {"method": "pickle", "pickled": cloudpickle.dumps(base)}
    beside = [_beside_journal(one) for one in base.envs]
    return {
        "method": "replay",
        "episodes": [journal.so_far() if journal else None for journal in journals],
        "buffers": {
            name: getattr(base, name) for name in VECTOR_ATTRIBUTES if hasattr(base, name)
        },
        "outside": [each["outside"] for each in beside],
        "monitors": [each["monitor"] for each in beside],
    }


def _forget_history(env: Env) -> None:
    monitor = _monitor(env)  # Its histories grow for ever, and nothing reads them.
    for history in (monitor.episode_returns, monitor.episode_lengths, monitor.episode_times):
        history.clear()


def _beside_journal(env: Env) -> dict[str, Any]:
    monitor = _monitor(env)
    return {
        "monitor": {name: getattr(monitor, name) for name in MONITOR_ATTRIBUTES},
        "outside": [
            {name: value for name, value in vars(layer).items() if name != "env"}
            for layer in _layers_outside(env)
        ],
    }


def _unpickle_into(base: DummyVecEnv, pickled: bytes) -> None:
    saved: DummyVecEnv = cloudpickle.loads(pickled)
    spaces = "num_envs", "observation_space", "action_space"
    if any(getattr(saved, name) != getattr(base, name) for name in spaces):
        raise CannotRestore("the environments are others now")
    base.__dict__.update(saved.__dict__)


def _play_again(base: DummyVecEnv, state: dict[str, Any]) -> None:
    if len(state["episodes"]) != base.num_envs:
        raise CannotRestore("the number of environments is another now")
    parts = zip(base.envs, state["episodes"], state["monitors"], state["outside"], strict=True)
    for env, episode, totals, layers in parts:
        _play_one_again(env, episode, totals, layers)
    base.__dict__.update(state["buffers"])


def _play_one_again(
    env: Env, episode: Any, totals: dict[str, Any], outside: list[dict[str, Any]]
) -> None:
    journal = journal_of(env)
    if episode is None or journal is None:
        raise CannotRestore("its episode was too long to be played again")
    journal.play_again(episode)
    vars(_monitor(env)).update(totals)
    for layer, attributes in zip(_layers_outside(env), outside, strict=True):
        vars(layer).update(attributes)


def _layers_outside(env: Any) -> Iterator[Any]:
    """Yield the wrappers around the monitor: those that are for training only."""
    while not isinstance(env, Monitor):
        yield env
        env = env.env


def _monitor(env: Any) -> Monitor:
    while not isinstance(env, Monitor):
        env = env.env
    return env
