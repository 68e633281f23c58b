"""VecNormalize: around what trains, in every checkpoint, and frozen for whoever plays one.

Its statistics are kept as arrays that need no unpickling, beside the model in the checkpoint's
folder. Returns that are logged or evaluated are never normalised.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space, is_image_space_channels_first
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import (
    VecEnv,
    VecNormalize,
    VecTransposeImage,
    unwrap_vec_normalize,
)

from apps.engine.environments.making import describe_spaces
from apps.spec.run import RunSpec

STATISTICS = "normalization.npz"
REWARDS, OBSERVATIONS = "rewards", "observations"
SETTINGS = ("norm_obs", "clip_obs", "epsilon")
MOMENTS = ("mean", "var", "count")
# What VecNormalize remembers of the step it is at, beside its statistics.
STEP_ATTRIBUTES = ("returns", "old_obs", "old_reward")


def normalized(env: VecEnv, spec: RunSpec) -> VecEnv:
    """Wrap environments as a spec says; those of a run that normalises nothing come as they are.

    Whether observations can be normalised has been judged before (`spec.fitting`).
    """
    if spec.normalize is None:
        return env
    settings = dict(spec.normalize)
    if settings["gamma"] is None:
        settings["gamma"] = spec.hyperparameters.get("gamma", 0.99)  # Else VecNormalize's own.
    # The library turns pictures around outside of what it is given. A replay buffer takes what it
    # stores from VecNormalize, so they have to be turned before.
    if any(is_image_space(s) and not is_image_space_channels_first(s) for s in _parts(env)):
        env = VecTransposeImage(env)
    if settings["norm_obs"]:
        settings["norm_obs_keys"] = _keys(env, spec.environment)
    return VecNormalize(env, **settings)


def _parts(env: VecEnv) -> list[Any]:
    space = env.observation_space
    return [*space.spaces.values()] if isinstance(space, spaces.Dict) else [space]


def _keys(env: VecEnv, environment: str) -> list[str] | None:
    """Return which entries of a dictionary are numbers on a scale; None where there is none."""
    described = describe_spaces(environment, env.observation_space, env.action_space)
    parts = described.observation_space.parts
    return [name for name, part in parts.items() if part.is_on_a_scale] or None


def save_statistics(env: VecEnv, folder: Path) -> list[str]:
    """Write the statistics of what trains, if it has any, and return the file names."""
    normalizer = unwrap_vec_normalize(env)
    if normalizer is None:
        return []
    settings = {name: np.asarray(getattr(normalizer, name)) for name in SETTINGS}
    moments = {
        f"{name}.{part}": np.asarray(getattr(statistics, part))
        for name, statistics in _statistics(normalizer)
        for part in MOMENTS
    }
    np.savez(folder / STATISTICS, **settings, **moments)  # type: ignore[arg-type]
    return [STATISTICS]


def _statistics(normalizer: VecNormalize) -> Iterator[tuple[str, RunningMeanStd]]:
    """Yield each running mean and variance with the name that it has in the file."""
    yield REWARDS, normalizer.ret_rms
    if normalizer.norm_obs and isinstance(normalizer.obs_rms, dict):
        for key, statistics in normalizer.obs_rms.items():
            yield f"{OBSERVATIONS}:{key}", statistics
    elif normalizer.norm_obs:
        yield OBSERVATIONS, normalizer.obs_rms


def step_state(env: VecEnv) -> dict[str, Any]:
    """Return what VecNormalize remembers of the present step, empty without one."""
    normalizer = unwrap_vec_normalize(env)
    return {
        name: getattr(normalizer, name) for name in STEP_ATTRIBUTES if hasattr(normalizer, name)
    }


def restore(env: VecEnv, folder: Path, state: Mapping[str, Any]) -> dict[str, str]:
    """Put statistics and the remembered step back, as far as both sides have them.

    Args:
        env: The new environments.
        folder: The checkpoint's folder.
        state: What `step_state` returned then.

    Returns:
        What was not restored, by name, with the reason.
    """
    normalizer = unwrap_vec_normalize(env)
    path = folder / STATISTICS
    if normalizer is None:
        why = "nothing is normalised now, and the networks learnt from what was"
        return {"normalisation": why} if path.exists() else {}
    vars(normalizer).update(state)
    notes = {}
    saved = _read(path) if path.exists() else {}
    for name, statistics in _statistics(normalizer):
        if f"{name}.mean" not in saved:
            notes[f"statistics of {name}"] = "they were not normalised before; they begin anew"
            continue
        for part in MOMENTS:
            setattr(statistics, part, saved[f"{name}.{part}"])
    if bool(saved.get("norm_obs")) and not normalizer.norm_obs:
        why = "they are not normalised now, and the networks learnt from what was"
        notes[f"statistics of {OBSERVATIONS}"] = why
    return notes


def _read(path: Path) -> dict[str, NDArray[Any]]:
    with np.load(path, allow_pickle=False) as saved:
        return dict(saved)


@dataclass(frozen=True, slots=True)
class FrozenStatistics:
    """The statistics of a checkpoint, as its policy's observations are normalised when it plays.

    Attributes:
        clip: Normalised observations are clipped to this.
        epsilon: Added to a variance.
        moments: Mean and variance, arrays in the shape of one observation, by its key in a
            dictionary of observations; an observation that is none has the key "".
    """

    clip: float
    epsilon: float
    moments: dict[str, tuple[NDArray[Any], NDArray[Any]]]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what `save_statistics` wrote."""
        saved = _read(folder / STATISTICS)
        names = [name.removesuffix(".mean") for name in saved if name.endswith(".mean")]
        return cls(
            clip=float(saved["clip_obs"]),
            epsilon=float(saved["epsilon"]),
            moments={
                name.partition(":")[2]: (saved[f"{name}.mean"], saved[f"{name}.var"])
                for name in names
                if name != REWARDS
            },
        )

    def normalize(self, observation: Any) -> Any:
        """Return one observation as the policy saw it in training; nothing is learnt from it."""
        if not self.moments:
            return observation
        if isinstance(observation, dict):
            seen = {key: self._seen(observation[key], key) for key in self.moments}
            return {**observation, **seen}
        return self._seen(observation, "")

    def _seen(self, observation: NDArray[Any], key: str) -> NDArray[np.float32]:
        mean, variance = self.moments[key]
        scaled = (observation - mean) / np.sqrt(variance + self.epsilon)
        clipped = np.clip(scaled, -self.clip, self.clip)
        return cast(NDArray[np.float32], clipped.astype(np.float32))
