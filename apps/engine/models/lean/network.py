"""The forward and backward pass of a multilayer perceptron, written out.

All tensors are float32 on the CPU and have the shape (batch, units).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from apps.engine.models.lean.steps import Gradients
from apps.errors import Diverged

_aten = torch.ops.aten


def tanh_backward(grad: Tensor, output: Tensor) -> Tensor:
    """Return the gradient of what `tanh` was given."""
    found: Tensor = _aten.tanh_backward(grad, output)
    return found


def _relu_backward(grad: Tensor, output: Tensor) -> Tensor:
    found: Tensor = _aten.threshold_backward(grad, output, 0)
    return found


ACTIVATIONS = {nn.Tanh: (torch.tanh, tanh_backward), nn.ReLU: (torch.relu, _relu_backward)}


class Network:
    """A multilayer perceptron as a list of weights, biases and activations."""

    def __init__(self, layers: list[nn.Module], gradients: Gradients | None = None) -> None:
        """Take layers of which `is_plain` holds.

        Args:
            layers: Linear ones and activations.
            gradients: Where `backward` writes those of its parameters.
        """
        linears = [layer for layer in layers if isinstance(layer, nn.Linear)]
        self._layers = [(layer.weight, layer.bias) for layer in linears]
        self._grads = [tuple(map(gradients.of, layer)) for layer in self._layers if gradients]
        after = dict(zip(layers, [*layers[1:], None], strict=False))
        # Of each layer: the activation after it and its derivative, None where there is none.
        self._activations: list[Any] = [ACTIVATIONS.get(type(after[layer])) for layer in linears]

    def forward(self, inputs: Tensor) -> list[Tensor]:
        """Return what went into each layer, then the output."""
        seen = [inputs]
        for layer, activation in zip(self._layers, self._activations, strict=True):
            output = functional.linear(seen[-1], *layer)
            seen.append(activation[0](output) if activation else output)
        return seen

    def __call__(self, inputs: Tensor) -> Tensor:
        """Return the output."""
        return self.forward(inputs)[-1]

    def backward(self, grad: Tensor, seen: list[Tensor]) -> None:
        """Write the gradient of each parameter, given that of the output."""
        for index in range(len(self._layers) - 1, -1, -1):
            grad = self._through_activation(index, grad, seen)
            grad_weight, grad_bias = self._grads[index]
            torch.mm(grad.t(), seen[index], out=grad_weight)
            torch.sum(grad, 0, out=grad_bias)
            if index:
                grad = grad.mm(self._layers[index][0])

    def backward_to_inputs(self, grad: Tensor, seen: list[Tensor]) -> Tensor:
        """Return the gradient of the inputs, given that of the output; write none."""
        for index in range(len(self._layers) - 1, -1, -1):
            grad = self._through_activation(index, grad, seen).mm(self._layers[index][0])
        return grad

    def _through_activation(self, index: int, grad: Tensor, seen: list[Tensor]) -> Tensor:
        activation = self._activations[index]
        return activation[1](grad, seen[index + 1]) if activation else grad


def checked(output: Tensor) -> Tensor:
    """Return what a policy put out.

    Raises:
        Diverged: There is NaN in it: its weights have become so, or what it read was.
    """
    if np.isnan(output.numpy()).any():
        raise Diverged(
            "the policy's output is NaN: training has diverged; lower learning_rate or "
            "max_grad_norm, normalise observations or rewards, or look for NaN in the "
            "environment's"
        )
    return output


def is_plain(layers: list[nn.Module]) -> bool:
    """Whether layers are linear ones with biases, with an activation of ours after some."""
    is_linear = [type(layer) is nn.Linear and layer.bias is not None for layer in layers]
    return all(
        is_linear[index] or (index > 0 and is_linear[index - 1] and type(layer) in ACTIVATIONS)
        for index, layer in enumerate(layers)
    )
