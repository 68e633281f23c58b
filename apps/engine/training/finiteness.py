"""Looks whether training is still made of numbers, and names what first was none.

What was learnt from lies in the model's own buffer, so it is looked at there, many steps at once:
that costs nothing beside training. A replay buffer is looked at now and then, and before each
checkpoint: what is saved was learnt from numbers.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer, ReplayBuffer

from apps.engine.models.networks import OwnNetworks
from apps.errors import NotFinite

STEPS_BETWEEN_LOOKS = 2000
WHAT_TO_DO_WITH_NUMBERS = (
    "look for a division by zero or a simulation that blew up, and end the episode there"
)
WHAT_TO_DO_WITH_GREAT_NUMBERS = "scale it to about 1, or bound it"
WHAT_TO_DO_WITH_UPDATES = (
    "lower learning_rate or max_grad_norm, or normalise observations or rewards"
)


class Finiteness:
    """What of one model's training has been looked at."""

    def __init__(self, model: BaseAlgorithm) -> None:
        self._model = model
        self._looked_at = model.num_timesteps
        buffer = self._replay_buffer()
        # A small buffer forgets soon.
        kept = buffer.buffer_size * buffer.n_envs // 2 if buffer else STEPS_BETWEEN_LOOKS
        self._interval = min(kept, STEPS_BETWEEN_LOOKS)

    def look_now_and_then(self) -> None:
        """Look at everything, if it has been a while; call between two rollouts.

        Raises:
            NotFinite: As `look`.
        """
        if self._model.num_timesteps - self._looked_at >= self._interval:
            self.look()

    def look(self) -> None:
        """Look at all that was learnt from since the last look, and at the weights.

        Raises:
            NotFinite: Names the reward, observation or update that was no number, and its step.
        """
        self.look_at_experience()
        for name, values in _weights(self._model):
            if not np.isfinite(values).all():
                raise NotFinite(
                    f"an update between the steps {self._looked_at:,} and "
                    f"{self._model.num_timesteps:,} left weights that are not finite ({name}), "
                    f"from rewards and observations that all were; {WHAT_TO_DO_WITH_UPDATES}"
                )
        self._looked_at = self._model.num_timesteps

    def look_at_experience(self) -> None:
        """Look at what was learnt from since the last look, and at what the next step begins with.

        Raises:
            NotFinite: Names the reward or observation.
        """
        replay = self._replay_buffer()
        if replay is not None:
            self._look_at_replay(replay)
        rollout = getattr(self._model, "rollout_buffer", None)
        if rollout is not None and not rollout.generator_ready and rollout.pos:
            self._look_at_rows(rollout, np.arange(rollout.pos))
        _refuse_observation(self._model._last_obs, self._model.num_timesteps)

    def look_at_episode(self, info: Mapping[str, Any]) -> None:
        """Look at the last observation of an episode that ended: no buffer of rollouts has it.

        Raises:
            NotFinite: Names the observation.
        """
        _refuse_observation(info.get("terminal_observation"), self._model.num_timesteps)

    def look_at_rewards(self, rewards: Any) -> None:
        """Look at the rewards of a step of a model that keeps none.

        Raises:
            NotFinite: Names the reward.
        """
        if not np.isfinite(rewards).all():
            raise _wrong_reward(rewards, self._model.num_timesteps)

    def _replay_buffer(self) -> ReplayBuffer | None:
        found = getattr(self._model, "replay_buffer", None)
        return found if isinstance(found, ReplayBuffer) else None

    def _look_at_replay(self, buffer: ReplayBuffer) -> None:
        written = (self._model.num_timesteps - self._looked_at) // buffer.n_envs
        count = min(written, buffer.buffer_size)
        self._look_at_rows(buffer, np.arange(buffer.pos - count, buffer.pos) % buffer.buffer_size)

    def _look_at_rows(self, buffer: BaseBuffer, rows: NDArray[np.int_]) -> None:
        """Look at rows of a buffer of which the last was written at the present step."""
        if not len(rows):  # It was looked at a moment ago.
            return
        step = self._model.num_timesteps
        later = buffer.n_envs * np.arange(len(rows) - 1, -1, -1)
        found = [
            (step - int(later[place]) - before, order, what, value)
            for order, what, values, before in _experience(buffer)
            for place, value in _first_wrong(values, rows)
        ]
        if not found:
            return
        at, _, what, value = min(found, key=lambda each: each[:2])
        raise (_wrong_reward if what == "reward" else _wrong_observation)(value, at)


def _experience(buffer: Any) -> Iterator[tuple[int, str, NDArray[Any], int]]:
    """Yield what a buffer holds of each step: rank, name, rows, how many steps before its own."""
    for name, before in (("observations", buffer.n_envs), ("next_observations", 0)):
        seen = getattr(buffer, name, None)
        for part in seen.values() if isinstance(seen, dict) else [seen]:
            if part is not None and len(part) == buffer.buffer_size and part.dtype.kind == "f":
                yield 0, "observation", part, before
    yield 1, "reward", buffer.rewards, 0


def _first_wrong(values: NDArray[Any], rows: NDArray[np.int_]) -> Iterator[tuple[int, Any]]:
    """Yield the first of some rows that holds something else than numbers: its place, and it."""
    chosen = values[rows].reshape(len(rows), -1)
    is_wrong = ~np.isfinite(chosen)
    if is_wrong.any():
        place = int(is_wrong.any(axis=1).argmax())
        yield place, chosen[place]


def _refuse_observation(observation: Any, step: int) -> None:
    parts = observation.values() if isinstance(observation, dict) else [observation]
    for part in parts:
        values = np.asarray(part) if part is not None else np.zeros(0)
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            raise _wrong_observation(values, step)


def _wrong_observation(values: Any, step: int) -> NotFinite:
    index, value = _wrong_one(values)
    return NotFinite(
        f"number {index} of the observation of step {step:,} was {value}; "
        f"{WHAT_TO_DO_WITH_NUMBERS}"
    )


def _wrong_reward(values: Any, step: int) -> NotFinite:
    _, value = _wrong_one(values)
    if np.isnan(value):
        return NotFinite(f"the reward of step {step:,} was nan; {WHAT_TO_DO_WITH_NUMBERS}")
    return NotFinite(
        f"the reward of step {step:,} was {value}, or beyond 3.4e38, the greatest number that the "
        f"learner's 32 bits hold; {WHAT_TO_DO_WITH_GREAT_NUMBERS}"
    )


def _wrong_one(values: Any) -> tuple[int, float]:
    flat = np.asarray(values).ravel()
    index = int((~np.isfinite(flat)).argmax())
    return index, float(flat[index])


def _weights(model: BaseAlgorithm) -> Iterator[tuple[str, NDArray[Any]]]:
    if isinstance(model, OwnNetworks):
        yield from ((f"number {place}", each) for place, each in enumerate(model.weights()))
        return
    for name, tensor in model.policy.state_dict().items():
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point():
            yield name, tensor.detach().cpu().numpy()
