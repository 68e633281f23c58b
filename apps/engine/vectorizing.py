"""Make the environments that a run trains in, stepped as it asks or as suits them best.

What was asked for and cannot be had is told, and the environments are stepped in process.
"""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from stable_baselines3.common.vec_env import VecEnv

from apps.engine.building import make_vec_env_for
from apps.engine.environments import Env
from apps.engine.native_vec_env import NoNative, make_native
from apps.engine.spec import RunSpec
from apps.engine.vec_normalize import normalized

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Choice:
    """How environments are stepped, and why.

    Attributes:
        asked: What the spec says.
        used: What is done.
        reason: Why, in words; empty where it is what the spec says.
        is_fallback: Whether something else was asked for and could not be had.
    """

    asked: str
    used: str
    reason: str = ""
    is_fallback: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Return the choice as JSON-ready data."""
        return asdict(self)


def vectorized(
    spec: RunSpec, around: Callable[[Env], Env] = lambda env: env, before: str = ""
) -> tuple[VecEnv, Choice]:
    """Make a run's environments, seeded, with all of their wrappers.

    Args:
        spec: The run's spec.
        around: As for `make_vec_env_for`; nothing is around what steps natively.
        before: How they were stepped in the checkpoint that the run goes on from; empty for none.

    Raises:
        UnknownEnvironment: As for `make_env_for`.
        InvalidSpec: Observations that cannot be normalised are to be.
    """
    choice = _chosen(spec, before)
    if choice.used == "native":
        try:
            env = make_native(spec.environment, spec.environment_kwargs, spec.n_envs)
            env.seed(spec.seed)
            return normalized(env, spec), choice
        except NoNative as error:
            reason = f"{error}; its environments are stepped in process"
            logger.warning("%s", reason)
            choice = Choice(spec.vectorization, "dummy", reason, is_fallback=True)
    return make_vec_env_for(spec, around), choice


def _chosen(spec: RunSpec, before: str) -> Choice:
    asked = spec.vectorization
    if before:
        return Choice(asked, before, "" if before == asked else "as it began")
    return Choice(asked, "dummy" if asked == "auto" else asked)
