"""Environments that step all together by themselves, as the library's vectorised environments.

Gymnasium's vector environments differ from what Stable-Baselines3 reads in when a finished episode
begins anew: here it is at once, with the last observation of the old one in its info. One whose
own reset comes a step later would give the learner a step that nobody took, and is not adapted
here; CartPole's is taught to reset at once.
"""

import copy
import time
from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.classic_control.cartpole import CartPoleVectorEnv
from gymnasium.utils import EzPickle
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv

from apps.engine.environments.pickles import CannotPickle, CannotRestore, pickled, unpickled
from apps.engine.environments.plain_spaces import has_plain_spaces
from apps.engine.stepping.states import LOST
from apps.errors import EngineError

# Where a vector environment of ours stands for the one that an id is registered with.
OURS = {
    "gymnasium.envs.classic_control.cartpole:CartPoleVectorEnv": (
        "apps.engine.stepping.native:SameStepCartPole"
    ),
}
STATE_ATTRIBUTES = ("_returns", "_lengths")


class NoNative(EngineError):
    """An environment cannot be stepped natively; the message says why."""


class SameStepCartPole(CartPoleVectorEnv):
    """Gymnasium's vectorised CartPole, but a finished episode begins anew in the same step."""

    metadata = {**CartPoleVectorEnv.metadata, "autoreset_mode": AutoresetMode.SAME_STEP}
    state: Any  # Positions, velocities, angles and angular velocities: float64, (4, carts).

    def step(
        self, action: NDArray[np.integer[Any]]
    ) -> tuple[
        NDArray[np.float32],
        NDArray[np.float32],
        NDArray[np.bool_],
        NDArray[np.bool_],
        dict[str, Any],
    ]:
        """Step all carts, and set those that are done back to a random start."""
        observations, rewards, terminated, truncated, infos = super().step(action)
        # The original would reset these in its next step, whatever action it is given there.
        is_done, self.prev_done = self.prev_done, np.zeros_like(self.prev_done)
        if is_done.any():
            infos = {"final_obs": observations.copy(), "_final_obs": is_done}
            size = (4, int(is_done.sum()))
            self.state[:, is_done] = self.np_random.uniform(self.low, self.high, size)
            self.steps[is_done] = 0
            observations[is_done] = self.state[:, is_done].T
        return observations, rewards, terminated, truncated, infos


class NativeVecEnv(VecEnv):
    """A vector environment of Gymnasium that resets in the same step, as the library reads one.

    Counts episodes itself: their returns are in the infos as the library's Monitor gives them.
    """

    vectorization = "native"

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        self._env = env
        self._returns = np.zeros(env.num_envs)
        self._lengths = np.zeros(env.num_envs, dtype=np.int64)
        self._started_at = time.time()
        super().__init__(env.num_envs, env.single_observation_space, env.single_action_space)

    def reset(self) -> Any:
        """Begin all episodes anew; a seed that was set is used once."""
        observations, _ = self._env.reset(seed=self._seed(self._seeds[0]))
        self._reset_seeds()
        self._reset_options()
        self._returns[:] = 0
        self._lengths[:] = 0
        return np.ascontiguousarray(observations)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Take the actions of the next step."""
        self._actions = actions

    def step_wait(self) -> Any:
        """Step; infos say something of finished episodes only."""
        observations, rewards, terminated, truncated, told = self._env.step(self._actions)
        dones = terminated | truncated
        self._returns += rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = self._ended(dones, told)
        if dones.any():
            for place in dones.nonzero()[0]:
                # What ends for the learner alone goes on: nothing else was seen.
                last = told["final_obs"] if ended[place] else observations
                infos[place] = {
                    "TimeLimit.truncated": bool(truncated[place] and not terminated[place]),
                    "terminal_observation": last[place],
                }
                if ended[place]:
                    infos[place]["episode"] = self._episode(place)
            self._returns[ended] = 0
            self._lengths[ended] = 0
        return np.ascontiguousarray(observations), self._paid(rewards), dones, infos

    def _seed(self, seed: int | None) -> Any:
        """Return a seed as the environment takes it."""
        return seed

    def _ended(self, dones: NDArray[np.bool_], told: Mapping[str, Any]) -> NDArray[np.bool_]:
        """Return which episodes are over that are counted; called with every step."""
        return dones

    def _paid(self, rewards: NDArray[Any]) -> NDArray[np.float32]:
        """Return what the learner gets of the rewards."""
        return rewards.astype(np.float32)

    def _episode(self, place: int) -> dict[str, Any]:
        return {
            "r": float(self._returns[place]),
            "l": int(self._lengths[place]),
            "t": round(time.time() - self._started_at, 6),
        }

    def close(self) -> None:
        """Close the environment."""
        self._env.close()

    def state(self) -> dict[str, Any] | None:
        """Return all that another process needs to go on; None where it cannot be had."""
        if isinstance(self._env, EzPickle):
            return None
        try:
            content = pickled(self._env)
        except CannotPickle as error:
            return {"why": LOST.format(error)}
        counts = {name: getattr(self, name) for name in STATE_ATTRIBUTES}
        return {"pickled": content, "counts": copy.deepcopy(counts)}

    def why_not_pickled(self, state: Mapping[str, Any] | None) -> str:
        """Return why the environments were not, empty where nobody would expect that."""
        return str(state.get("why", "")) if state else ""

    def restore(self, state: Mapping[str, Any] | None) -> None:
        """Go on where `state` was taken.

        Raises:
            CannotRestore: There was nothing to take, or the environments are others now.
        """
        if state is None:
            raise CannotRestore(
                "a native environment cannot be captured here; episodes began anew"
            )
        if why := self.why_not_pickled(state):
            raise CannotRestore(why)
        saved = unpickled(state["pickled"])
        if saved.num_envs != self.num_envs:
            raise CannotRestore("the number of environments is another now")
        self._env = saved
        vars(self).update(state["counts"])

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Return that nothing is rendered; single environments, and their attributes, are none."""
        if attr_name == "render_mode":
            return [None for _ in self._get_indices(indices)]
        raise AttributeError(f"environments that step natively have no {attr_name} each")

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """Refuse: there is no single environment to set it of."""
        raise AttributeError(f"environments that step natively have no {attr_name} each")

    def env_method(
        self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any
    ) -> list[Any]:
        """Refuse: there is no single environment to call."""
        raise AttributeError(f"environments that step natively have no {method_name}() each")

    def env_is_wrapped(self, wrapper_class: Any, indices: Any = None) -> list[bool]:
        """Return that none is wrapped."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        """Return no pictures."""
        return [None] * self.num_envs


def make_native(environment: str, kwargs: Mapping[str, Any], n_envs: int) -> NativeVecEnv:
    """Construct an environment's own vector version.

    Raises:
        NoNative: There is none, it resets too late, or it refuses the keyword arguments.
    """
    try:
        spec = copy.deepcopy(gymnasium.spec(environment))
        spec.vector_entry_point = OURS.get(str(spec.vector_entry_point), spec.vector_entry_point)
        env = gymnasium.make_vec(spec, n_envs, "vector_entry_point", **kwargs)
    except (gymnasium.error.Error, ImportError, TypeError, ValueError, AssertionError) as error:
        raise NoNative(f"{environment} has no vector version to step: {error}") from error
    mode = env.metadata.get("autoreset_mode")
    if mode is not AutoresetMode.SAME_STEP:
        env.close()
        raise NoNative(f"{environment} begins episodes anew by {mode}, not in the same step")
    if not has_plain_spaces(env.single_observation_space, env.single_action_space):
        env.close()
        raise NoNative(f"the spaces of {environment} are not what a learner takes as they are")
    return NativeVecEnv(env)
