"""The forward and backward pass and the optimizer step of a small policy, written out.

Each function calls the kernels that autograd and `torch.optim` call, on the same numbers and in
the same order of additions, so that results agree to the last bit. What is saved is what surrounds
them: graph nodes, distribution objects with their checks, a Python loop over parameters.

Shapes: B is the batch, A the number of actions of a categorical head or the dimensions of a
Gaussian one. All tensors are float32 on the CPU, but actions of a categorical head: int64, (B, 1).
"""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from stable_baselines3.common.distributions import (
    CategoricalDistribution,
    DiagGaussianDistribution,
)
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.common.torch_layers import FlattenExtractor
from torch import Tensor, nn
from torch.nn import functional

from apps.engine.errors import Diverged

_aten = torch.ops.aten
Gradient = tuple[Tensor, Tensor]


def _tanh_backward(grad: Tensor, output: Tensor) -> Tensor:
    found: Tensor = _aten.tanh_backward(grad, output)
    return found


def _relu_backward(grad: Tensor, output: Tensor) -> Tensor:
    found: Tensor = _aten.threshold_backward(grad, output, 0)
    return found


ACTIVATIONS = {nn.Tanh: (torch.tanh, _tanh_backward), nn.ReLU: (torch.relu, _relu_backward)}


class Network:
    """A multilayer perceptron as a list of weights and biases."""

    def __init__(self, hidden: Sequence[nn.Module], head: nn.Linear) -> None:
        linears = [layer for layer in hidden if isinstance(layer, nn.Linear)]
        self._layers = [(layer.weight, layer.bias) for layer in (*linears, head)]
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

    def backward(self, grad: Tensor, seen: list[Tensor]) -> Iterator[Gradient]:
        """Yield each parameter with its gradient, given that of the output."""
        for index in range(len(seen) - 1, -1, -1):
            weight, bias = self._layers[index]
            yield weight, grad.t().mm(seen[index])
            yield bias, grad.sum(0)
            if index:
                grad = self._activate_backward(grad.mm(weight), seen[index])


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

    def gradients(self) -> Iterator[Gradient]:
        """Yield the gradients of parameters of the head's own, after `backward`."""


class CategoricalHead:
    """Discrete actions: the output holds logits, (B, A)."""

    def sample(self, output: Tensor) -> tuple[Tensor, Tensor]:
        """Draw as `torch.distributions.Categorical` does."""
        logits = output - output.logsumexp(-1, keepdim=True)
        drawn = torch.multinomial(torch.softmax(logits, -1), 1, True)
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

    def gradients(self) -> Iterator[Gradient]:
        """Yield nothing: there are no parameters beside the network's."""
        return iter(())


class GaussianHead:
    """Continuous actions: the output holds means, (B, A); deviations are parameters."""

    _LOG_SQRT_2_PI = math.log(math.sqrt(2 * math.pi))
    _ENTROPY = 0.5 + 0.5 * math.log(2 * math.pi)

    def __init__(self, log_std: nn.Parameter) -> None:
        self._log_std = log_std

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

    def gradients(self) -> Iterator[Gradient]:
        """Yield the gradient of the logarithm of the deviations."""
        yield self._log_std, self._grad_std.sum(0) * self._log_std.exp()


class AdamStep:
    """The step of `torch.optim.Adam` over all parameters at once."""

    def __init__(self, optimizer: torch.optim.Adam, parameters: list[Tensor]) -> None:
        self._optimizer, self._parameters = optimizer, parameters
        self._group = optimizer.param_groups[0]
        for parameter in parameters:
            if not optimizer.state[parameter]:
                optimizer.state[parameter] = {
                    "step": torch.tensor(0.0),
                    "exp_avg": torch.zeros_like(parameter),
                    "exp_avg_sq": torch.zeros_like(parameter),
                }
        self._states = [optimizer.state[parameter] for parameter in parameters]
        self._means = [state["exp_avg"] for state in self._states]
        self._squares = [state["exp_avg_sq"] for state in self._states]
        self._step = int(self._states[0]["step"])

    def is_current(self) -> bool:
        """Whether the optimizer's state is still the one taken at the start."""
        return self._optimizer.state[self._parameters[0]] is self._states[0]

    def take(self, grads: list[Tensor]) -> None:
        """Move the parameters against the gradients."""
        self._step += 1
        beta1, beta2 = self._group["betas"]
        torch._foreach_lerp_(self._means, grads, 1 - beta1)
        torch._foreach_mul_(self._squares, beta2)
        torch._foreach_addcmul_(self._squares, grads, grads, 1 - beta2)
        deviations = torch._foreach_sqrt(self._squares)
        torch._foreach_div_(deviations, (1 - beta2**self._step) ** 0.5)
        torch._foreach_add_(deviations, self._group["eps"])
        size = self._group["lr"] / (1 - beta1**self._step)
        torch._foreach_addcdiv_(self._parameters, self._means, deviations, -size)

    def finish(self) -> None:
        """Tell the optimizer how many steps were taken; call before anybody saves it."""
        for state in self._states:
            state["step"].fill_(self._step)


class RMSpropStep:
    """The step of `torch.optim.RMSprop` over all parameters at once."""

    def __init__(self, optimizer: torch.optim.RMSprop, parameters: list[Tensor]) -> None:
        self._optimizer, self._parameters = optimizer, parameters
        self._group = optimizer.param_groups[0]
        for parameter in parameters:
            if not optimizer.state[parameter]:
                optimizer.state[parameter] = {
                    "step": torch.tensor(0.0),
                    "square_avg": torch.zeros_like(parameter),
                }
        self._states = [optimizer.state[parameter] for parameter in parameters]
        self._squares = [state["square_avg"] for state in self._states]
        self._step = int(self._states[0]["step"])

    def is_current(self) -> bool:
        """Whether the optimizer's state is still the one taken at the start."""
        return self._optimizer.state[self._parameters[0]] is self._states[0]

    def take(self, grads: list[Tensor]) -> None:
        """Move the parameters against the gradients."""
        self._step += 1
        alpha = self._group["alpha"]
        torch._foreach_mul_(self._squares, alpha)
        torch._foreach_addcmul_(self._squares, grads, grads, 1 - alpha)
        deviations = torch._foreach_sqrt(self._squares)
        torch._foreach_add_(deviations, self._group["eps"])
        torch._foreach_addcdiv_(self._parameters, grads, deviations, -self._group["lr"])

    def finish(self) -> None:
        """Tell the optimizer how many steps were taken; call before anybody saves it."""
        for state in self._states:
            state["step"].fill_(self._step)


class LeanPolicy:
    """The networks, head and optimizer of a policy, written out; it changes the policy itself."""

    def __init__(self, policy: ActorCriticPolicy) -> None:
        extractor = policy.mlp_extractor
        self._policy = policy
        self._actor = Network(list(extractor.policy_net), policy.action_net)  # type: ignore[arg-type]
        self._critic = Network(list(extractor.value_net), policy.value_net)
        self._head: Head = (
            CategoricalHead()
            if isinstance(policy.action_dist, CategoricalDistribution)
            else GaussianHead(policy.log_std)
        )
        self._parameters: list[Tensor] = list(policy.parameters())
        self._places = {id(parameter): place for place, parameter in enumerate(self._parameters)}
        optimizer = policy.optimizer
        self._optimizer: AdamStep | RMSpropStep = (
            AdamStep(optimizer, self._parameters)
            if isinstance(optimizer, torch.optim.Adam)
            else RMSpropStep(optimizer, self._parameters)  # type: ignore[arg-type]
        )

    def is_current(self) -> bool:
        """Whether the optimizer still holds what this one moves: a checkpoint replaces it."""
        return self._optimizer.is_current()

    def features(self, observations: Tensor) -> Tensor:
        """Return what the networks read of observations, (B, features)."""
        found: Tensor = self._policy.extract_features(observations)  # type: ignore[assignment]
        return found

    def act(self, features: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return drawn actions, values (B, 1) and log probabilities (B,)."""
        output, _ = self._actor.forward(features)
        if output.isnan().any():
            raise Diverged(
                "the policy's output is NaN: training has diverged; lower learning_rate or "
                "max_grad_norm, normalise observations or rewards, or look for NaN in the "
                "environment's"
            )
        values, _ = self._critic.forward(features)
        actions, log_probs = self._head.sample(output)
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
        grads: list[Any] = [None] * len(self._parameters)
        grad_output = self._head.backward(grad_log_probs, grad_entropy)
        for parameter, grad in (
            *self._actor.backward(grad_output, self._actor_seen),
            *self._critic.backward(grad_values.unsqueeze(-1), self._critic_seen),
            *self._head.gradients(),
        ):
            grads[self._places[id(parameter)]] = grad
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads, 2.0)), 2.0)
        torch._foreach_mul_(grads, torch.clamp(max_grad_norm / (norm + 1e-6), max=1.0))
        self._optimizer.take(grads)

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
        and _has_plain_optimizer(policy.optimizer)
    )


def _has_plain_networks(policy: ActorCriticPolicy) -> bool:
    for network in (policy.mlp_extractor.policy_net, policy.mlp_extractor.value_net):
        kinds = {type(layer) for layer in network} - {nn.Linear}
        if len(kinds) > 1 or not kinds <= set(ACTIVATIONS):
            return False
    return True


def _has_plain_optimizer(optimizer: torch.optim.Optimizer) -> bool:
    usual: dict[type, dict[str, Any]] = {
        torch.optim.Adam: {"amsgrad": False, "weight_decay": 0, "maximize": False, "fused": None},
        torch.optim.RMSprop: {"momentum": 0, "centered": False, "weight_decay": 0},
    }
    if type(optimizer) not in usual or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    return all(group.get(name) == value for name, value in usual[type(optimizer)].items())
