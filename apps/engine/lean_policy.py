"""The forward and backward pass of a small policy, written out; its step is in `lean_steps`.

Each function calls the kernels that autograd and `torch.optim` call, on the same numbers and in
the same order of additions, so that results agree to the last bit. What is saved is what surrounds
them: graph nodes, distribution objects with their checks, a Python loop over parameters.

Shapes: B is the batch, A the number of actions of a categorical head or the dimensions of a
Gaussian one. All tensors are float32 on the CPU, but actions of a categorical head: int64, (B, 1).
"""

import math
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from gymnasium import spaces
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor, nn
from torch.nn import functional

from apps.engine.errors import Diverged
from apps.engine.lean_steps import Gradients, has_plain_step, step_of

_aten = torch.ops.aten


def _tanh_backward(grad: Tensor, output: Tensor) -> Tensor:
    found: Tensor = _aten.tanh_backward(grad, output)
    return found


def _relu_backward(grad: Tensor, output: Tensor) -> Tensor:
    found: Tensor = _aten.threshold_backward(grad, output, 0)
    return found


ACTIVATIONS = {nn.Tanh: (torch.tanh, _tanh_backward), nn.ReLU: (torch.relu, _relu_backward)}


class Network:
    """A multilayer perceptron as a list of weights and biases."""

    def __init__(self, hidden: Sequence[nn.Module], head: nn.Linear, gradients: Gradients) -> None:
        linears = [layer for layer in hidden if isinstance(layer, nn.Linear)]
        self._layers = [(layer.weight, layer.bias) for layer in (*linears, head)]
        self._grads = [(gradients.of(weight), gradients.of(bias)) for weight, bias in self._layers]
        kinds = [type(layer) for layer in hidden if not isinstance(layer, nn.Linear)]
        self._activate, self._activate_backward = ACTIVATIONS[kinds[0] if kinds else nn.Tanh]

    def forward(self, inputs: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Return the output, and what went into each layer."""
        seen = []
        for weight, bias in self._layers[:-1]:
            seen.append(inputs)
            inputs = self._activate(functional.linear(inputs, weight, bias))
        seen.append(inputs)
        return functional.linear(inputs, *self._layers[-1]), seen

    def backward(self, grad: Tensor, seen: list[Tensor]) -> None:
        """Write the gradient of each parameter, given that of the output."""
        for index in range(len(seen) - 1, -1, -1):
            grad_weight, grad_bias = self._grads[index]
            torch.mm(grad.t(), seen[index], out=grad_weight)
            torch.sum(grad, 0, out=grad_bias)
            if index:
                grad = self._activate_backward(grad.mm(self._layers[index][0]), seen[index])


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
        extractor = policy.mlp_extractor
        self._policy = policy
        space = policy.observation_space
        self._is_vector = isinstance(space, spaces.Box) and len(space.shape) == 1
        parameters: list[Tensor] = list(policy.parameters())
        self._gradients = Gradients(parameters)
        self._actor = Network(list(extractor.policy_net), policy.action_net, self._gradients)  # type: ignore[arg-type]
        self._critic = Network(list(extractor.value_net), policy.value_net, self._gradients)
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
        output, _ = self._actor.forward(features)
        values, _ = self._critic.forward(features)
        actions, log_probs = self._head.sample(output)
        if np.isnan(log_probs.numpy()).any():  # As they are where the output is.
            raise Diverged(
                "the policy's output is NaN: training has diverged; lower learning_rate or "
                "max_grad_norm, normalise observations or rewards, or look for NaN in the "
                "environment's"
            )
        return actions, values, log_probs

    def values(self, features: Tensor) -> Tensor:
        """Return the critic's values, (B, 1)."""
        return self._critic.forward(features)[0]

    def evaluate(self, features: Tensor, actions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return values, log probabilities and entropies, each (B,), and remember the way."""
        output, self._actor_seen = self._actor.forward(features)
        values, self._critic_seen = self._critic.forward(features)
        log_probs, entropies = self._head.evaluate(output, actions)
        return values.flatten(), log_probs, entropies

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
        and _has_plain_networks(policy)
        and has_plain_step(policy.optimizer)
    )


def _has_plain_networks(policy: ActorCriticPolicy) -> bool:
    for network in (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net):
        kinds = {type(layer) for layer in network} - {nn.Linear}
        if len(kinds) > 1 or not kinds <= set(ACTIVATIONS):
            return False
    return True
