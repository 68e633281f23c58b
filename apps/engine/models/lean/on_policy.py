"""PPO and A2C: their rollouts and updates.

The classes are Stable-Baselines3's own with two methods written out. What `policy` does not write
out (images, state-dependent exploration, other action spaces, a GPU) takes the library's own
loops; on a GPU they read the rollout from its memory.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3 import A2C, PPO
from stable_baselines3.common.buffers import RolloutBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.on_policy_algorithm import OnPolicyAlgorithm
from stable_baselines3.common.utils import explained_variance, obs_as_tensor
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor
from torch.nn import functional

from apps.engine.models.lean.device_buffer import buffer_for
from apps.engine.models.lean.policy import LeanPolicy, can_be_lean

_aten = torch.ops.aten
# Matrix kernels may choose another way for data that begins elsewhere, with other roundings.
ALIGNMENT_BYTES = 64


@dataclass(frozen=True, slots=True)
class Samples:
    """Part of a rollout; n samples in float32.

    Attributes:
        features: Shape (n, features), what the networks read.
        actions: Shape (n, 1) int64 for discrete actions, else (n, dimensions).
        old_values: Shape (n,).
        old_log_probs: Shape (n,).
        advantages: Shape (n,).
        returns: Shape (n,).
    """

    features: Tensor
    actions: Tensor
    old_values: Tensor
    old_log_probs: Tensor
    advantages: Tensor
    returns: Tensor

    def batches(self, size: int) -> Iterator["Samples"]:
        """Yield shuffled parts of a size, drawing as the library's buffer does."""
        count = len(self.returns)
        order = torch.from_numpy(np.random.permutation(count))  # noqa: NPY002 - as the library
        shuffled = [getattr(self, name)[order].split(size) for name in self.__slots__]
        for parts in zip(*shuffled, strict=True):
            part = [*parts]
            if part[0].data_ptr() % ALIGNMENT_BYTES:
                part[0] = part[0].clone()
            yield Samples(*part)


class _LeanLoops(OnPolicyAlgorithm):
    """What both have: the rollout, and when to learn from it."""

    _lean: LeanPolicy | None = None

    def _setup_model(self) -> None:
        if self.rollout_buffer_class is None:
            n_samples = self.n_steps * self.n_envs
            self.rollout_buffer_class = buffer_for(self.device, self.observation_space, n_samples)
        super()._setup_model()

    def _excluded_save_params(self) -> list[str]:
        # The class of the buffer: the library loads the file without us.
        return [*super()._excluded_save_params(), "_lean", "rollout_buffer_class"]

    def _lean_policy(self) -> LeanPolicy | None:
        """Return the policy written out, None where it cannot be."""
        if self._lean is None or not self._lean.is_current():
            can_be = can_be_lean(self.policy) and type(self.rollout_buffer) is RolloutBuffer
            self._lean = LeanPolicy(self.policy) if can_be else None
        return self._lean

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        rollout_buffer: RolloutBuffer,
        n_rollout_steps: int,
    ) -> bool:
        """Fill the buffer as the library does; False when the callback ended training."""
        lean = self._lean_policy()
        if lean is None:
            return super().collect_rollouts(env, callback, rollout_buffer, n_rollout_steps)
        self.policy.set_training_mode(False)
        rollout_buffer.reset()
        callback.on_rollout_start()
        with torch.no_grad():
            return self._collect(lean, env, callback, n_rollout_steps)

    def _collect(
        self, lean: LeanPolicy, env: VecEnv, callback: BaseCallback, n_rollout_steps: int
    ) -> bool:
        space = self.action_space
        for _ in range(n_rollout_steps):
            drawn, values, log_probs = lean.act(self._features(lean, self._last_obs))
            actions = drawn.numpy()
            clipped_actions = actions
            if isinstance(space, spaces.Box):
                clipped_actions = np.clip(actions, space.low, space.high)
            new_obs, rewards, dones, infos = env.step(clipped_actions)
            self.num_timesteps += env.num_envs
            callback.update_locals(locals())
            if not callback.on_step():
                return False
            if dones.any():
                places = dones.nonzero()[0]
                self._update_info_buffer([infos[place] for place in places], dones[places])
                self._bootstrap(lean, rewards, places, infos)
            self._remember(actions, rewards, values, log_probs)
            self._last_obs = new_obs  # type: ignore[assignment]
            self._last_episode_starts = dones
        last_values = lean.values(self._features(lean, self._last_obs))
        self.rollout_buffer.compute_returns_and_advantage(last_values, dones)
        callback.update_locals(locals())
        callback.on_rollout_end()
        return True

    def train(self) -> None:
        """Update the policy with the rollout, as the library does."""
        lean = self._lean_policy()
        if lean is None:
            super().train()
            return
        self.policy.set_training_mode(True)
        self._update_learning_rate(self.policy.optimizer)
        with torch.no_grad():
            self._learn(lean)
        lean.finish()

    def _learn(self, lean: LeanPolicy) -> None:
        raise NotImplementedError

    def _features(self, lean: LeanPolicy, observations: Any) -> Tensor:
        return lean.features(obs_as_tensor(observations, self.device))  # type: ignore[arg-type]

    def _bootstrap(self, lean: LeanPolicy, rewards: Any, places: Any, infos: Any) -> None:
        """Add the value of what came after a step limit to the last reward before it."""
        for place in places:
            last = infos[place].get("terminal_observation")
            if last is not None and infos[place].get("TimeLimit.truncated", False):
                features = lean.features(self.policy.obs_to_tensor(last)[0])  # type: ignore[arg-type]
                rewards[place] += self.gamma * lean.values(features)[0]

    def _remember(self, actions: Any, rewards: Any, values: Tensor, log_probs: Tensor) -> None:
        """Write one step into the rollout buffer."""
        buffer = self.rollout_buffer
        place = buffer.pos
        buffer.observations[place] = np.reshape(self._last_obs, buffer.observations.shape[1:])  # type: ignore[arg-type]
        buffer.actions[place] = actions.reshape(buffer.actions.shape[1:])
        buffer.rewards[place] = rewards
        buffer.episode_starts[place] = self._last_episode_starts
        buffer.values[place] = values.numpy().ravel()
        buffer.log_probs[place] = log_probs.numpy()
        buffer.pos += 1
        buffer.full = buffer.pos == buffer.buffer_size

    def _samples(self, lean: LeanPolicy) -> Samples:
        """Return the whole rollout, environment after environment as the library orders it."""
        buffer = self.rollout_buffer
        flat = {
            name: torch.from_numpy(buffer.swap_and_flatten(getattr(buffer, name)))
            for name in ("actions", "values", "log_probs", "advantages", "returns")
        }
        observations = torch.from_numpy(buffer.swap_and_flatten(buffer.observations))
        actions = flat["actions"]
        is_discrete = isinstance(self.action_space, spaces.Discrete)
        return Samples(
            lean.features(observations),
            actions.long() if is_discrete else actions.float(),
            flat["values"].flatten(),
            flat["log_probs"].flatten(),
            flat["advantages"].flatten(),
            flat["returns"].flatten(),
        )

    def _record_fit(self) -> None:
        values, returns = self.rollout_buffer.values.T, self.rollout_buffer.returns.T
        fit = explained_variance(values.flatten(), returns.flatten())
        self.logger.record("train/explained_variance", fit)
        if hasattr(self.policy, "log_std"):
            self.logger.record("train/std", torch.exp(self.policy.log_std).mean().item())


class LeanPPO(_LeanLoops, PPO):
    """Stable-Baselines3's PPO; see the module's words."""

    def _learn(self, lean: LeanPolicy) -> None:
        update = _PPOUpdate(self, lean)
        samples = self._samples(lean)
        for _ in range(self.n_epochs):
            update.kl_divergences.clear()
            is_over = any(update.run(batch) for batch in samples.batches(self.batch_size))
            self._n_updates += 1
            if is_over:
                break
        for name, value in update.scalars().items():
            self.logger.record(f"train/{name}", value)
        self._record_fit()
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        self.logger.record("train/clip_range", update.clip_range)
        if update.clip_range_vf is not None:
            self.logger.record("train/clip_range_vf", update.clip_range_vf)


class _PPOUpdate:
    """The clipped surrogate loss and its gradient, minibatch by minibatch (arXiv:1707.06347)."""

    def __init__(self, model: LeanPPO, lean: LeanPolicy) -> None:
        remaining = model._current_progress_remaining
        self.clip_range = float(model.clip_range(remaining))  # type: ignore[operator]
        self.clip_range_vf = (
            None if model.clip_range_vf is None else float(model.clip_range_vf(remaining))  # type: ignore[operator]
        )
        self.kl_divergences: list[Tensor] = []
        self._model, self._lean = model, lean
        self._policy_losses: list[Tensor] = []
        self._value_losses: list[Tensor] = []
        self._entropy_losses: list[Tensor] = []
        self._clip_fractions: list[Tensor] = []
        self._grad_value_loss = torch.ones(()) * model.vf_coef
        self._grad_entropy_loss = torch.ones(()) * model.ent_coef

    def run(self, batch: Samples) -> bool:
        """Take one step; return True instead when the policy has moved too far already."""
        model, size = self._model, len(batch.returns)
        values, log_probs, entropies = self._lean.evaluate(batch.features, batch.actions)
        advantages = batch.advantages
        if model.normalize_advantage and size > 1:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        log_ratio = log_probs - batch.old_log_probs
        ratio = torch.exp(log_ratio)
        change = ratio - 1
        self.kl_divergences.append(torch.mean(change - log_ratio))
        self._entropy_losses.append(-torch.mean(entropies))
        grad_log_probs = self._surrogate(advantages, ratio, change)
        grad_values = self._value_loss(values, batch)
        if model.target_kl is not None and self.kl_divergences[-1] > 1.5 * model.target_kl:
            return True
        grad_entropy = -self._grad_entropy_loss / size
        self._lean.update(grad_values, grad_log_probs, grad_entropy, model.max_grad_norm)
        return False

    def _surrogate(self, advantages: Tensor, ratio: Tensor, change: Tensor) -> Tensor:
        """Note the policy's loss; return its gradient by the log probabilities, (n,).

        Args:
            advantages: Shape (n,).
            ratio: New probabilities by the old ones, (n,).
            change: The same less 1.
        """
        low, high = 1 - self.clip_range, 1 + self.clip_range
        bounded = torch.clamp(ratio, low, high)
        free, clipped = advantages * ratio, advantages * bounded
        self._policy_losses.append(-torch.min(free, clipped).mean())
        self._clip_fractions.append(torch.mean((torch.abs(change) > self.clip_range).float()))
        # The minimum's gradient goes to the lesser. Where both are equal, halves go to both and
        # meet again at a ratio within its bounds; one just outside, by rounding, gets its half.
        grad = (advantages * (-1.0 / len(ratio))).masked_fill_(free > clipped, 0)
        is_half = (free == clipped).logical_and_(bounded != ratio)
        return torch.where(is_half, grad / 2, grad).mul_(ratio)

    def _value_loss(self, values: Tensor, batch: Samples) -> Tensor:
        """Note the critic's loss; return its gradient by the values, (n,)."""
        predicted, bound = values, self.clip_range_vf
        change = values - batch.old_values if bound is not None else values
        if bound is not None:
            predicted = batch.old_values + torch.clamp(change, -bound, bound)
        self._value_losses.append(functional.mse_loss(batch.returns, predicted))
        grad: Tensor = _aten.mse_loss_backward(self._grad_value_loss, predicted, batch.returns, 1)
        return grad if bound is None else grad.masked_fill((change < -bound) | (change > bound), 0)

    def scalars(self) -> dict[str, float]:
        """Return what the library logs of an update, by name."""
        model = self._model
        loss = (
            self._policy_losses[-1]
            + model.ent_coef * self._entropy_losses[-1]
            + model.vf_coef * self._value_losses[-1]
        )
        return {
            "entropy_loss": _mean(self._entropy_losses),
            "policy_gradient_loss": _mean(self._policy_losses),
            "value_loss": _mean(self._value_losses),
            "approx_kl": np.mean(torch.stack(self.kl_divergences).numpy()),
            "clip_fraction": _mean(self._clip_fractions),
            "loss": loss.item(),
        }


class LeanA2C(_LeanLoops, A2C):
    """Stable-Baselines3's A2C; see the module's words."""

    def _learn(self, lean: LeanPolicy) -> None:
        (batch,) = self._samples(lean).batches(len(self.rollout_buffer.returns.ravel()))
        size = len(batch.returns)
        values, log_probs, entropies = lean.evaluate(batch.features, batch.actions)
        advantages = batch.advantages
        if self.normalize_advantage:
            advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
        grad_values = _aten.mse_loss_backward(
            torch.ones(()) * self.vf_coef, values, batch.returns, 1
        )
        grad_entropy = -(torch.ones(()) * self.ent_coef) / size
        grad_log_probs = torch.full_like(advantages, -1.0) / size * advantages
        lean.update(grad_values, grad_log_probs, grad_entropy, self.max_grad_norm)
        self._n_updates += 1
        losses = {
            "entropy_loss": -torch.mean(entropies),
            "policy_loss": -(advantages * log_probs).mean(),
            "value_loss": functional.mse_loss(batch.returns, values),
        }
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        for name, loss in losses.items():
            self.logger.record(f"train/{name}", loss.item())
        self._record_fit()


def _mean(losses: list[Tensor]) -> float:
    # In double precision, as the mean of Python's numbers is.
    return float(np.mean(torch.stack(losses).numpy().astype(np.float64)))
