"""The state of the environments that a run trains in: taken from them, and put back.

Each environment is pickled, or played again from its journal (see `journal`). One that could be
pickled and cannot any more is lost to the present checkpoint, and keeps a journal from its next
episode on. What steps many of them in a way of its own says their state itself.
"""

import copy
from collections.abc import Iterable, Iterator
from typing import Any, Protocol, cast

import gymnasium
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from apps.engine.environments.journal import Journal, journal_of
from apps.engine.environments.pickles import CannotPickle, CannotRestore, pickled, unpickled

Env = gymnasium.Env[Any, Any]
VECTOR_ATTRIBUTES = (
    "buf_obs",
    "buf_dones",
    "buf_rews",
    "actions",
    "_seeds",
    "_options",
)
PLAYED_AGAIN = "an environment cannot be pickled ({}): its episode is played again at a resume"
LOST = "an environment cannot be pickled ({}): its episode begins anew at a resume from here"
MONITOR_ATTRIBUTES = ("rewards", "needs_reset", "total_steps", "current_reset_info")
# Methods of environments of this process.
IN_PROCESS = frozenset({"pickle", "replay", "lost"})


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

    def why_not_pickled(self, state: Any) -> str:
        """Return what a state says of that, empty for nothing."""


def vectorization_of(env: VecEnv) -> str:
    """Return by which of the vectorisations environments are stepped."""
    return str(getattr(env.unwrapped, "vectorization", "dummy"))


def capture(env: VecEnv) -> dict[str, Any]:
    """Gather the state of all environments, between two steps.

    Under `why` it says in words why they were not pickled, where nobody would expect that.
    """
    base = env.unwrapped
    if isinstance(base, DummyVecEnv):
        return _capture_in_process(base)
    own = cast(SaysItsState, base)
    state = own.state()
    return {"method": vectorization_of(env), "state": state, "why": own.why_not_pickled(state)}


def restore(env: VecEnv, state: dict[str, Any]) -> None:
    """Bring environments to where a captured state left them.

    Raises:
        CannotRestore: They cannot be brought there; some of them may have been.
    """
    base = env.unwrapped
    before = "dummy" if state["method"] in IN_PROCESS else state["method"]
    if before != vectorization_of(env):
        raise CannotRestore("the environments are stepped in another way now")
    try:
        if state["method"] == "pickle":
            _unpickle_into(cast(DummyVecEnv, base), state["pickled"])
        elif state["method"] == "replay":
            _play_again(cast(DummyVecEnv, base), unpickled(state["played"]))
        elif state["method"] == "lost":
            raise CannotRestore(state["why"])
        else:
            cast(SaysItsState, base).restore(state["state"])
    except (AttributeError, TypeError, ValueError) as error:
        raise CannotRestore(str(error)) from error


def capture_one(env: Env) -> dict[str, Any]:
    """Gather the state of a single environment, with all of its wrappers."""
    _forget_history(env)
    try:
        if journal_of(env) is None:
            return {"pickled": pickled(env)}
        return _journaled([env], _beside_journal(env))
    except CannotPickle as error:
        return _lost([env], error)


def restore_one(env: Env, state: dict[str, Any]) -> Env:
    """Return the environment of a captured state; one with a journal is brought there itself.

    Raises:
        CannotRestore: It cannot be brought there.
    """
    if "pickled" in state:
        return cast(Env, unpickled(state["pickled"]))
    if state["method"] == "lost":
        raise CannotRestore(state["why"])
    told = unpickled(state["played"])
    _play_one_again(env, told)
    return env


def _capture_in_process(base: DummyVecEnv) -> dict[str, Any]:
    for one in base.envs:
        _forget_history(one)
    try:
        if all(journal_of(one) is None for one in base.envs):
            return {"method": "pickle", "pickled": pickled(_without_infos(base))}
        buffers = {name: getattr(base, name) for name in VECTOR_ATTRIBUTES if hasattr(base, name)}
        each = [_beside_journal(one) for one in base.envs]
        return _journaled(base.envs, {"buffers": buffers, "each": each})
    except CannotPickle as error:
        return _lost(base.envs, error)


def _journaled(envs: Iterable[Env], told: dict[str, Any]) -> dict[str, Any]:
    """Return what journals tell, as bytes: nothing of an environment's is left to be pickled."""
    reasons = [journal.why for env in envs if (journal := journal_of(env)) and journal.why]
    why = PLAYED_AGAIN.format(reasons[0]) if reasons else ""
    return {"method": "replay", "played": pickled(told), "why": why}


def _lost(envs: Iterable[Env], error: CannotPickle) -> dict[str, Any]:
    """Return that nothing could be had, and keep journals from now on."""
    for env in envs:
        if journal_of(env) is None:
            _begin_journal(env, str(error))
    return {"method": "lost", "why": LOST.format(error)}


def _begin_journal(env: Env, why: str) -> Journal:
    monitor = _monitor(env)
    journal = Journal(monitor.env, why)
    monitor.env = journal
    return journal


def _without_infos(base: DummyVecEnv) -> DummyVecEnv:
    """Return the same environments without what they said last, which nobody reads again."""
    bare = copy.copy(base)
    bare.buf_infos = [{} for _ in base.envs]
    bare.reset_infos = [{} for _ in base.envs]
    return bare


def _forget_history(env: Env) -> None:
    monitor = _monitor(env)  # Its histories grow for ever, and nothing reads them.
    for history in (monitor.episode_returns, monitor.episode_lengths, monitor.episode_times):
        history.clear()


def _beside_journal(env: Env) -> dict[str, Any]:
    monitor, journal = _monitor(env), journal_of(env)
    return {
        "episode": journal.so_far() if journal else None,
        "why": journal.why if journal else "",
        "monitor": {name: getattr(monitor, name) for name in MONITOR_ATTRIBUTES},
        "outside": [
            {name: value for name, value in vars(layer).items() if name != "env"}
            for layer in _layers_outside(env)
        ],
    }


def _unpickle_into(base: DummyVecEnv, content: bytes) -> None:
    saved: DummyVecEnv = unpickled(content)
    spaces = "num_envs", "observation_space", "action_space"
    if any(getattr(saved, name) != getattr(base, name) for name in spaces):
        raise CannotRestore("the environments are others now")
    base.__dict__.update(saved.__dict__)


def _play_again(base: DummyVecEnv, state: dict[str, Any]) -> None:
    if len(state["each"]) != base.num_envs:
        raise CannotRestore("the number of environments is another now")
    for env, told in zip(base.envs, state["each"], strict=True):
        _play_one_again(env, told)
    base.__dict__.update(state["buffers"])


def _play_one_again(env: Env, told: dict[str, Any]) -> None:
    episode = told["episode"]
    if episode is None:
        raise CannotRestore("its episode began before its journal, or was too long for one")
    # One that could be pickled at first has none yet.
    (journal_of(env) or _begin_journal(env, told["why"])).play_again(episode)
    vars(_monitor(env)).update(told["monitor"])
    for layer, attributes in zip(_layers_outside(env), told["outside"], strict=True):
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
