"""The models of backend `sbx`: the JAX port's classes, with checkpoints without pickled code.

The one module that imports JAX, and it is imported only when a run asks for it. The port keeps
what it learns in a handful of attributes of model and policy: flax's train states (parameters,
targets, optimizer) and random keys. They go to disk as msgpack, which holds numbers only.
"""

from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import sbx
import torch
from flax import linen, serialization
from flax.training.train_state import TrainState
from numpy.typing import NDArray
from sbx.common.type_aliases import ReplayBufferSamplesNp, RLTrainState
from stable_baselines3.common.base_class import BaseAlgorithm

ACTIVATIONS = {name: getattr(linen, name) for name in ("tanh", "relu", "elu", "gelu", "silu")}


class _FlaxNetworks(BaseAlgorithm):
    """Networks that the engine can keep (`networks.OwnNetworks`)."""

    adaptive_lr: Any  # Of PPO with target_kl only.

    def _setup_model(self) -> None:
        self.device = torch.device("cpu")  # Torch's would be a GPU where there is one.
        super()._setup_model()  # type: ignore[safe-super]
        policy: Any = self.policy
        if hasattr(policy, "reset_noise"):
            policy.reset_noise = partial(_reset_noise, policy)

    def write_networks(self, path: Path) -> None:
        """Write train states and random keys as msgpack."""
        path.write_bytes(serialization.to_bytes(self._learnt()))

    def read_networks(self, path: Path) -> None:
        """Take back what `write_networks` wrote.

        Raises:
            ValueError: The networks have other shapes.
        """
        own = self._learnt()
        saved = serialization.from_bytes(own, path.read_bytes())
        shapes, saved_shapes = (jax.tree.map(jnp.shape, tree) for tree in (own, saved))
        if shapes != saved_shapes:
            raise ValueError("a layer has another shape")
        for owner, values in ((self, saved["model"]), (self.policy, saved["policy"])):
            for name, value in values.items():
                setattr(owner, name, jax.tree.map(jnp.asarray, value))
        if "adaptive_rate" in saved:
            self.adaptive_lr.current_adaptive_lr = float(saved["adaptive_rate"])

    def weights(self) -> list[NDArray[Any]]:
        """Return all numbers that they learn, array by array; random keys are none."""
        arrays = map(np.asarray, jax.tree.leaves(self._learnt()))
        return [array for array in arrays if array.dtype.kind == "f"]

    def seed_actions(self, seed: int) -> None:
        """Seed the key that stochastic actions are drawn with; some policies have none."""
        if hasattr(self.policy, "key"):
            self.policy.key = jax.random.PRNGKey(seed)

    def _learnt(self) -> dict[str, Any]:
        learnt: dict[str, Any] = {
            owner: {
                name: value
                for name, value in vars(holder).items()
                if isinstance(value, TrainState | jax.Array)
            }
            for owner, holder in (("model", self), ("policy", self.policy))
        }
        if hasattr(self, "adaptive_lr"):
            learnt["adaptive_rate"] = self.adaptive_lr.current_adaptive_lr
        return learnt


def _reset_noise(policy: Any, batch_size: int = 1) -> None:
    """Draw the key of the next action, as the port does, but compiled."""
    policy.key, policy.noise_key = _split(policy.key)


@jax.jit
def _split(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    one, other = jax.random.split(key)
    return one, other


class PPO(_FlaxNetworks, sbx.PPO):
    """Proximal Policy Optimization."""


class SAC(_FlaxNetworks, sbx.SAC):
    """Soft Actor-Critic."""


class TD3(_FlaxNetworks, sbx.TD3):
    """Twin Delayed DDPG."""


class DDPG(_FlaxNetworks, sbx.DDPG):
    """Deep Deterministic Policy Gradient."""


class TQC(_FlaxNetworks, sbx.TQC):
    """Truncated Quantile Critics."""


class CrossQ(_FlaxNetworks, sbx.CrossQ):
    """SAC with batch normalisation."""


class DQN(_FlaxNetworks, sbx.DQN):
    """Deep Q-Network whose gradient steps are compiled into one call.

    The port runs its loop over them uncompiled, which costs 2 ms each time, more than the steps.
    """

    def train(self, batch_size: int, gradient_steps: int) -> None:
        """Take gradient steps, with the port's draws, arithmetic and scalars."""
        n_samples = batch_size * gradient_steps
        drawn = self.replay_buffer.sample(n_samples, env=self._vec_normalize_env)
        data = ReplayBufferSamplesNp(
            drawn.observations.numpy(),
            drawn.actions.long().numpy(),
            drawn.next_observations.numpy(),
            drawn.dones.numpy().flatten(),
            drawn.rewards.numpy().flatten(),
            np.full((n_samples,), self.gamma, dtype=np.float32),
        )
        self.policy.qf_state, losses = _gradient_steps(self.policy.qf_state, data, gradient_steps)
        self._n_updates += gradient_steps
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/critic_loss", losses["critic_loss"].item())
        mean_value = losses["qf_mean_value"].item() / gradient_steps
        self.logger.record("train/qf_mean_value", mean_value)


@partial(jax.jit, static_argnames="count")
def _gradient_steps(
    state: RLTrainState, data: ReplayBufferSamplesNp, count: int
) -> tuple[RLTrainState, dict[str, jax.Array]]:
    """Return the state after so many of the port's updates, and the sums of what it logs."""
    indices = jnp.arange(len(data.dones)).reshape(count, -1)
    sums = {name: jnp.array([0.0]) for name in ("critic_loss", "qf_mean_value")}
    carry = {"qf_state": state, "data": data, "indices": indices, "info": sums}
    carry, _ = jax.lax.scan(sbx.DQN._train, carry, indices)
    return carry["qf_state"], carry["info"]
