"""The policy of PPO and A2C written out: an actor, a critic, a head that draws, a step.

Shapes: B is the batch, A the number of actions of a categorical head or the dimensions of a
Gaussian one. All tensors are float32 on the CPU, but actions of a categorical head: int64, (B, 1).
"""

import math
from typing import Any, Protocol

import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor, nn

from apps.engine.models.lean.network import Network, checked, is_plain
from apps.engine.models.lean.steps import Gradients, has_plain_step, step_of

_aten = torch.ops.aten


class Head(Protocol):
    """What makes a distribution over actions of a network's output."""

    def sample(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Draw actions; return them and their log probabilities, (B,)."""

    def evaluate(self, output: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return the log probabilities of actions and the entropies, each (B,)."""

    def backward(self, grad_log_prob: Tensor, grad_entropy: Tensor) -> Tensor:
        """Return the gradient of the output of the latest `evaluate`.

        Args:
            grad_log_prob: That of the log probabilities, (B,).
            grad_entropy: That of each entropy, a scalar: all are the same.
        """

    def write_gradients(self) -> None:
        """Write the gradients of parameters of the head's own, after `backward`."""


class CategoricalHead:
    """Discrete actions: the output holds logits, (B, A)."""

    def sample(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Draw as `torch.distributions.Categorical` does.

        `torch.multinomial` draws one of each row by a race of exponential clocks, after checks
        that cost as much as the draw.
        """
        logits = output - output.logsumexp(-1, keepdim=True)
        probs = torch.softmax(logits, -1)
        drawn = probs.div_(torch.empty_like(probs).exponential_()).argmax(-1, keepdim=True)
        return drawn.squeeze(-1), logits.gather(-1, drawn).squeeze(-1)

    def evaluate(self, output: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return log probabilities and entropies."""
        self._actions = actions
        self._logits = output - output.logsumexp(-1, keepdim=True)
        self._probs = torch.softmax(self._logits, -1)
        log_prob = self._logits.gather(-1, actions).squeeze(-1)
        return log_prob, -(self._logits * self._probs).sum(-1)

    def backward(self, grad_log_prob: Tensor, grad_entropy: Tensor) -> Tensor:
        """Return the gradient of the logits: through the entropy first, as autograd adds them."""
        grad = -grad_entropy
        grad_probs = grad * self._logits
        through_entropy = _aten._softmax_backward_data(
            grad_probs, self._probs, -1, grad_probs.dtype
        ) + (grad * self._probs)
        chosen = torch.zeros_like(self._logits).scatter_(
            -1, self._actions, grad_log_prob.unsqueeze(-1)
        )
        grads: Tensor = through_entropy + chosen
        return grads - grads.sum(-1, keepdim=True) * self._logits.exp()

    def write_gradients(self) -> None:
        """Write nothing: there are no parameters beside the network's."""


class GaussianHead:
    """Continuous actions: the output holds means, (B, A); deviations are parameters."""

    _LOG_SQRT_2_PI = math.log(math.sqrt(2 * math.pi))
    _ENTROPY = 0.5 + 0.5 * math.log(2 * math.pi)

    def __init__(self, log_std: nn.Parameter, gradients: Gradients) -> None:
        self._log_std, self._grad_log_std = log_std, gradients.of(log_std)

    def sample(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Draw as `torch.distributions.Normal` does."""
        std = torch.ones_like(output) * self._log_std.exp()
        noise = torch.normal(torch.zeros_like(output), torch.ones_like(output))
        actions = output + noise * std
        return actions, self._log_prob(actions - output, std, 2 * std**2)

    def evaluate(self, output: Tensor, actions: Tensor) -> tuple[Tensor, Tensor]:
        """Return log probabilities and entropies."""
        self._std = torch.ones_like(output) * self._log_std.exp()
        self._distance = actions - output
        self._twice_variance = 2 * self._std**2
        log_prob = self._log_prob(self._distance, self._std, self._twice_variance)
        return log_prob, (self._ENTROPY + self._std.log()).sum(1)

    def _log_prob(self, distance: Tensor, std: Tensor, twice_variance: Tensor) -> Tensor:
        exponent = -(distance**2) / twice_variance
        return (exponent - std.log() - self._LOG_SQRT_2_PI).sum(1)

    def backward(self, grad_log_prob: Tensor, grad_entropy: Tensor) -> Tensor:
        """Return the gradient of the means, and keep that of the deviations."""
        grad = grad_log_prob.unsqueeze(1)
        exponent = -(self._distance**2) / self._twice_variance
        through_variance = -grad * (exponent / self._twice_variance) * 2 * (2 * self._std)
        # Through entropy, normalisation, exponent: the order in which autograd adds them.
        self._grad_std = (grad_entropy / self._std - grad / self._std) + through_variance
        return grad / self._twice_variance * (2 * self._distance)

    def write_gradients(self) -> None:
        """Write the gradient of the logarithm of the deviations."""
        torch.mul(self._grad_std.sum(0), self._log_std.exp(), out=self._grad_log_std)


class LeanPolicy:
    """The networks, head and optimizer of a policy, written out; it changes the policy itself."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        self._policy = policy
        space = policy.observation_space
        self._is_vector = isinstance(space, spaces.Box) and len(space.shape) == 1
        parameters: list[Tensor] = list(policy.parameters())
        self._gradients = Gradients(parameters)
        self._actor, self._critic = (
            Network(layers, self._gradients) for layers in _networks_of(policy)
        )
        self._head: Head = (
            CategoricalHead()
            if isinstance(policy.action_dist, CategoricalDistribution)
            else GaussianHead(policy.log_std, self._gradients)
        )
        self._optimizer = step_of(policy.optimizer, parameters)

    def is_current(self) -> bool:
        """Whether the optimizer still holds what this one moves: a checkpoint replaces it."""
        return self._optimizer.is_current()

    def features(self, observations: Tensor) -> Tensor:
        """Return what the networks read of observations, (B, features)."""
        if self._is_vector:
            return observations.float()
        found: Tensor = self._policy.extract_features(observations)  # type: ignore[assignment]
        return found

    def act(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return drawn actions, values (B, 1) and log probabilities (B,)."""
        output, values = self._actor(features), self._critic(features)
        actions, log_probs = self._head.sample(output)
        checked(log_probs)  # As they are where the output is.
        return actions, values, log_probs

    def values(self, features: Tensor) -> Tensor:
        """Return the critic's values, (B, 1)."""
        return self._critic(features)

    def evaluate(self, features: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return values, log probabilities and entropies, each (B,), and remember the way."""
        self._actor_seen = self._actor.forward(features)
        self._critic_seen = self._critic.forward(features)
        log_probs, entropies = self._head.evaluate(self._actor_seen[-1], actions)
        return self._critic_seen[-1].flatten(), log_probs, entropies

    def update(
        self,
        grad_values: Tensor,
        grad_log_probs: Tensor,
        grad_entropy: Tensor,
        max_grad_norm: float,
    ) -> None:
        """Go back the way of the latest `evaluate`, clip the gradients' norm, take one step.

        Args:
            grad_values: Gradient of the loss by the values, (B,).
            grad_log_probs: By the log probabilities, (B,).
            grad_entropy: By each entropy, a scalar.
            max_grad_norm: Greatest norm of all gradients together.
        """
        grad_output = self._head.backward(grad_log_probs, grad_entropy)
        self._actor.backward(grad_output, self._actor_seen)
        self._critic.backward(grad_values.unsqueeze(-1), self._critic_seen)
        self._head.write_gradients()
        self._gradients.clip(max_grad_norm)
        self._optimizer.take(self._gradients)

    def finish(self) -> None:
        """Bring the optimizer's own counters up to date."""
        self._optimizer.finish()


def can_be_lean(policy: Any) -> bool:
    """Whether a policy is one that `LeanPolicy` writes out."""
    return (
        type(policy) is ActorCriticPolicy
        and policy.device.type == "cpu"
        and not policy.use_sde
        and type(policy.action_dist) in {CategoricalDistribution, DiagGaussianDistribution}
        and type(policy.features_extractor) is FlattenExtractor
        and policy.share_features_extractor
        and all(map(is_plain, _networks_of(policy)))
        and has_plain_step(policy.optimizer)
    )


def _networks_of(policy: ActorCriticPolicy) -> tuple[list[nn.Module], list[nn.Module]]:
    """Return the layers of the actor and of the critic."""
    extractor = policy.mlp_extractor
    return (
        [*extractor.policy_net.children(), policy.action_net],
        [*extractor.value_net.children(), policy.value_net],
    )
