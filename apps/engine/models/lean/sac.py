"""SAC: its squashed Gaussian forward and backward, and its updates."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from stable_baselines3 import SAC
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from torch import Tensor

from apps.engine.models.lean.network import Network, checked, tanh_backward
from apps.engine.models.lean.replay import ONE, LeanReplay, Learner, fit


class SquashedGaussian:
    """SAC's policy: Gaussians whose draws go through `tanh`, (batch, action dimensions)."""

    _LOG_SQRT_2_PI = math.log(math.sqrt(2 * math.pi))
    _LOG_STD_BOUNDS = (-20, 2)
    _EPSILON = 1e-6  # Keeps the logarithm of the squashing finite.

    def __init__(self, networks: Sequence[Network]) -> None:
        self._trunk, self._means, self._deviations = networks

    def draw(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return actions and their log probabilities, (batch, 1), and remember the way."""
        self._seen = self._trunk.forward(features)
        self._mean = self._means.forward(self._seen[-1])
        self._log_std = self._deviations.forward(self._seen[-1])
        mean = checked(self._mean[-1])
        self._std = torch.ones_like(mean) * self._log_std[-1].clamp(*self._LOG_STD_BOUNDS).exp()
        self._noise = torch.normal(torch.zeros_like(mean), torch.ones_like(mean))
        drawn = mean + self._noise * self._std
        self._actions = torch.tanh(drawn)
        self._distance = drawn - mean
        self._twice_variance = 2 * self._std**2
        self._exponent = -(self._distance**2) / self._twice_variance
        log_probs = (self._exponent - self._std.log() - self._LOG_SQRT_2_PI).sum(1)
        self._slope = 1 - self._actions**2 + self._EPSILON
        log_probs -= self._slope.log().sum(1)
        return self._actions, log_probs.reshape(-1, 1)

    def backward(self, grad_actions: Tensor, grad_log_probs: Tensor) -> None:
        """Write the gradients of the latest draw.

        Args:
            grad_actions: Shape of the actions.
            grad_log_probs: Shape (batch, 1).
        """
        std, twice_variance = self._std, self._twice_variance
        grad = grad_log_probs.expand_as(std)
        through_squash = -(-grad / self._slope) * (2 * self._actions)
        grad_drawn = tanh_backward(grad_actions + through_squash, self._actions)
        grad_distance = -(grad / twice_variance) * (2 * self._distance)
        grad_drawn = grad_drawn + grad_distance
        grad_mean = grad_drawn - grad_distance
        # Normalisation, exponent, draw: the order in which autograd adds them.
        through_variance = -grad * (self._exponent / twice_variance) * 2 * (2 * std)
        grad_std = -grad / std + through_variance + grad_drawn * self._noise
        low, high = self._LOG_STD_BOUNDS
        log_std = self._log_std[-1]
        grad_log_std = (grad_std * std).masked_fill_((log_std < low) | (log_std > high), 0)
        self._means.backward(grad_mean, self._mean)
        self._deviations.backward(grad_log_std, self._log_std)
        through_mean = self._means.backward_to_inputs(grad_mean, self._mean)
        through_std = self._deviations.backward_to_inputs(grad_log_std, self._log_std)
        self._trunk.backward(through_mean + through_std, self._seen)


class LeanSAC(LeanReplay, SAC):
    """Stable-Baselines3's SAC; see the words of `replay`."""

    def learners(self) -> tuple[Learner, ...]:
        """Write actor and critics out."""
        actor: Any = self.actor
        critics = self.critic.q_networks, self.critic_target.q_networks
        return (
            Learner([actor.latent_pi, actor.mu, actor.log_std], [], actor.optimizer),
            Learner(*critics, self.critic.optimizer),
        )

    def explore(self, lean: tuple[Learner, ...], observations: Any) -> Any:
        """Draw from the policy."""
        policy = SquashedGaussian(lean[0].networks)
        actions, _ = policy.draw(self.features(torch.as_tensor(observations)))
        return self.unscaled(actions)

    def optimizers(self, lean: tuple[Learner, ...]) -> list[torch.optim.Optimizer]:
        """Return those whose learning rate is scheduled."""
        own = [] if self.ent_coef_optimizer is None else [self.ent_coef_optimizer]
        return [*super().optimizers(lean), *own]

    def learn_once(
        self, lean: tuple[Learner, ...], index: int, batch: ReplayBufferSamples
    ) -> dict[str, Tensor]:
        """Move the weight of entropy, the critics, the actor; now and then the targets."""
        actor, critic = lean
        policy = SquashedGaussian(actor.networks)
        actions, log_probs = policy.draw(batch.observations)
        weight, losses = self._entropy_weight(log_probs)
        # In this order of draws.
        following, their_log_probs = SquashedGaussian(actor.networks).draw(batch.next_observations)
        next_values = critic.least_target(batch.next_observations, following)
        wanted = self.wanted(batch, next_values - weight * their_log_probs)
        losses["train/critic_loss"] = fit(critic, batch, wanted, ONE / 2) / 2
        values, grad_actions = _judge(critic, batch.observations, actions)
        losses["train/actor_loss"] = (weight * log_probs - values).mean()
        policy.backward(grad_actions, (ONE / len(values) * weight).expand_as(log_probs))
        actor.take_step()
        if index % self.target_update_interval == 0:
            critic.average(self.tau)
        return losses

    def _entropy_weight(self, log_probs: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the weight of entropy; where it is learnt, move it one step after that."""
        if self.ent_coef_optimizer is None or self.log_ent_coef is None:
            return self.ent_coef_tensor, {"train/ent_coef": self.ent_coef_tensor}
        assert isinstance(self.target_entropy, float)
        weight = torch.exp(self.log_ent_coef.detach())
        missing = log_probs + self.target_entropy
        with torch.enable_grad():
            loss = -(self.log_ent_coef * missing).mean()
        self.ent_coef_optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.ent_coef_optimizer.step()
        return weight, {"train/ent_coef": weight, "train/ent_coef_loss": loss.detach()}


def _judge(critic: Learner, observations: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Return the least value of each action, (batch, 1), and the gradient of less their mean."""
    read = torch.cat([observations, actions], dim=1)
    seen = [network.forward(read) for network in critic.networks]
    values, places = torch.cat([one[-1] for one in seen], dim=1).min(dim=1, keepdim=True)
    grad = torch.zeros(len(values), len(seen)).scatter_(1, places, -1.0 / len(values))
    # Autograd goes back from the last critic to the first.
    grads = [
        network.backward_to_inputs(grad[:, [index]], seen[index])
        for index, network in reversed([*enumerate(critic.networks)])
    ]
    return values, sum(grads[1:], grads[0])[:, observations.shape[1] :]
