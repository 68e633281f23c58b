"""A rollout that lies where the network computes.

The library's is an array in the host's memory, of which each minibatch of each epoch is copied to
the GPU. Pictures are many bytes: here each is copied only as it is seen.
"""

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.type_aliases import RolloutBufferSamples

# Of the device's free memory; networks, their gradients and minibatches need the rest.
MAX_SHARE = 0.5
NAMES = ("actions", "values", "log_probs", "advantages", "returns")


class DeviceRolloutBuffer(RolloutBuffer):
    """The library's rollout buffer: the same samples in the same order, but on the device."""

    def reset(self) -> None:
        """Begin a rollout; observations of the last one are written over."""
        super().reset()
        if not hasattr(self, "_seen"):
            shape = (self.n_envs, self.buffer_size, *self.obs_shape)
            kind = torch.from_numpy(self.observations[:0]).dtype
            self._seen = torch.zeros(shape, dtype=kind, device=self.device)
        # The array of the library takes no memory before it is written to.
        self.observations = np.zeros(self.buffer_size, dtype=np.uint8)

    def add(self, obs: Any, *others: Any) -> None:
        """Take one step of all environments; arguments are the library's."""
        self._seen[:, self.pos] = torch.as_tensor(obs, device=self.device)
        super().add(np.zeros((), dtype=np.uint8), *others)

    def get(self, batch_size: int | None = None) -> Generator[RolloutBufferSamples, None, None]:
        """Yield shuffled minibatches, by default all in one."""
        count = self.buffer_size * self.n_envs
        order: Any = torch.from_numpy(np.random.permutation(count)).to(self.device)  # noqa: NPY002
        if not self.generator_ready:
            for name in NAMES:
                setattr(self, name, self.swap_and_flatten(getattr(self, name)))
            self.generator_ready = True
        actions, *rest = (self.to_torch(getattr(self, name)) for name in NAMES)
        seen, actions = self._seen.flatten(0, 1), actions.float()
        for part in order.split(batch_size or count):
            numbers = (numbers.flatten()[part] for numbers in rest)
            yield RolloutBufferSamples(seen[part], actions[part], *numbers)


def buffer_for(
    device: torch.device, observation_space: spaces.Space[Any], n_samples: int
) -> type[DeviceRolloutBuffer] | None:
    """Return the class for a GPU with room for a rollout; None for the library's own choice.

    Args:
        device: Where the network computes.
        observation_space: What it reads.
        n_samples: Observations of a rollout.
    """
    if device.type != "cuda" or not isinstance(observation_space, spaces.Box):
        return None
    each_bytes = int(np.prod(observation_space.shape)) * observation_space.dtype.itemsize
    free_bytes, _ = torch.cuda.mem_get_info(device)
    return DeviceRolloutBuffer if n_samples * each_bytes <= MAX_SHARE * free_bytes else None
