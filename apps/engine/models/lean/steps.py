"""The steps of Adam and RMSprop, written out over memory that lies together.

An operation on a small tensor costs its call, not its numbers: so gradients and moments lie one
after the other and are changed by one call. Each number goes through the very operations that it
goes through in `torch.optim`, in vectors as there: a loop takes what fills no vector one by one,
and may round it otherwise, so only tensors that fill whole vectors lie together.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

# Numbers of the longest vector of any processor, four times, which is what a loop takes at once.
WHOLE = 64
LEAST_DOUBLE = 5e-324
# Moments below 1.2e-38 move nothing beside it.
LEAST_EPS = 1e-10


class Packed:
    """Memory for as many numbers as some tensors have.

    Attributes:
        blocks: All of it: what lies together, then each odd tensor by itself.
        views: The same memory in the shapes of the tensors, in their order.
    """

    def __init__(self, like: Sequence[Tensor]) -> None:
        together = torch.zeros(sum(t.numel() for t in like if t.numel() % WHOLE == 0))
        self.blocks, self.views = [together], []
        begin = 0
        for tensor in like:
            if tensor.numel() % WHOLE:
                self.views.append(torch.zeros_like(tensor))
                self.blocks.append(self.views[-1])
            else:
                end = begin + tensor.numel()
                self.views.append(together[begin:end].view_as(tensor))
                begin = end


class Gradients(Packed):
    """Where the gradients of some parameters are written."""

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        super().__init__(parameters)
        self._by_id = {id(one): view for one, view in zip(parameters, self.views, strict=True)}

    def of(self, parameter: Tensor) -> Tensor:
        """Return where the gradient of a parameter is written."""
        return self._by_id[id(parameter)]

    def clip(self, max_norm: float) -> None:
        """Scale all of them so that their norm is at most so large."""
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(self.views, 2.0)), 2.0)
        torch._foreach_mul_(self.blocks, torch.clamp(max_norm / (norm + 1e-6), max=1.0))


@contextmanager
def _tiny_is_zero() -> Iterator[None]:
    """Take numbers below 1.2e-38 as zero, which a processor else handles in a hundred cycles.

    Averages of the gradients of units that have died shrink to such numbers and stay there: a
    quarter of DQN's moments after 8,000 steps. They would move a weight by less than 1e-28.
    """
    was_zero = LEAST_DOUBLE * 1.0 == 0.0  # Somebody may have asked for it already.
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(was_zero)


class Step(Protocol):
    """How an optimizer moves parameters."""

    def is_current(self) -> bool:
        """Whether the optimizer's state is still the one taken at the start."""

    def take(self, grads: Packed) -> None:
        """Move the parameters against their gradients."""

    def finish(self) -> None:
        """Bring the optimizer's own state up to date; call before anybody saves it."""


class _Moments:
    """Averages that an optimizer keeps of each parameter's gradient, in memory of their own."""

    names: tuple[str, ...]

    def __init__(self, optimizer: torch.optim.Optimizer, parameters: list[Tensor]) -> None:
        self._optimizer, self._parameters = optimizer, parameters
        self._group = optimizer.param_groups[0]
        for parameter in parameters:
            if not optimizer.state[parameter]:
                fresh = {name: torch.zeros_like(parameter) for name in self.names}
                optimizer.state[parameter] = {"step": torch.tensor(0.0), **fresh}
        self._states = [optimizer.state[parameter] for parameter in parameters]
        self._step = int(self._states[0]["step"])
        self._deviations = Packed(parameters)
        self._moments = {name: Packed(parameters) for name in self.names}
        for name, memory in self._moments.items():
            torch._foreach_copy_(memory.views, [state[name] for state in self._states])

    def is_current(self) -> bool:
        """Whether the optimizer's state is still the one taken at the start."""
        return self._optimizer.state[self._parameters[0]] is self._states[0]

    def finish(self) -> None:
        """Bring the optimizer's own state up to date; call before anybody saves it."""
        for name, memory in self._moments.items():
            torch._foreach_copy_([state[name] for state in self._states], memory.views)
        for state in self._states:
            state["step"].fill_(self._step)

    def _take_root(self, squares: list[Tensor]) -> list[Tensor]:
        """Return the roots of averages of squares, in memory that is kept for them."""
        for deviations, square in zip(self._deviations.blocks, squares, strict=True):
            torch.sqrt(square, out=deviations)
        return self._deviations.blocks


class AdamStep(_Moments):
    """The step of `torch.optim.Adam` over all parameters at once."""

    names = ("exp_avg", "exp_avg_sq")

    @_tiny_is_zero()
    def take(self, grads: Packed) -> None:
        """Move the parameters against their gradients."""
        self._step += 1
        beta1, beta2 = self._group["betas"]
        means, squares = self._moments["exp_avg"], self._moments["exp_avg_sq"]
        torch._foreach_lerp_(means.blocks, grads.blocks, 1 - beta1)
        torch._foreach_mul_(squares.blocks, beta2)
        torch._foreach_addcmul_(squares.blocks, grads.blocks, grads.blocks, 1 - beta2)
        deviations = self._take_root(squares.blocks)
        torch._foreach_div_(deviations, (1 - beta2**self._step) ** 0.5)
        torch._foreach_add_(deviations, self._group["eps"])
        size = self._group["lr"] / (1 - beta1**self._step)
        torch._foreach_addcdiv_(self._parameters, means.views, self._deviations.views, -size)


class RMSpropStep(_Moments):
    """The step of `torch.optim.RMSprop` over all parameters at once."""

    names = ("square_avg",)

    @_tiny_is_zero()
    def take(self, grads: Packed) -> None:
        """Move the parameters against their gradients."""
        self._step += 1
        alpha = self._group["alpha"]
        squares = self._moments["square_avg"].blocks
        torch._foreach_mul_(squares, alpha)
        torch._foreach_addcmul_(squares, grads.blocks, grads.blocks, 1 - alpha)
        torch._foreach_add_(self._take_root(squares), self._group["eps"])
        torch._foreach_addcdiv_(
            self._parameters, grads.views, self._deviations.views, -self._group["lr"]
        )


def step_of(optimizer: torch.optim.Optimizer, parameters: list[Tensor]) -> Step:
    """Return the step of an optimizer of which `has_plain_step` holds."""
    kind = AdamStep if isinstance(optimizer, torch.optim.Adam) else RMSpropStep
    return kind(optimizer, parameters)


def has_plain_step(optimizer: torch.optim.Optimizer) -> bool:
    """Whether an optimizer is one whose step is written out here."""
    usual: dict[type, dict[str, Any]] = {
        torch.optim.Adam: {"amsgrad": False, "weight_decay": 0, "maximize": False, "fused": None},
        torch.optim.RMSprop: {
            "momentum": 0,
            "centered": False,
            "weight_decay": 0,
            "maximize": False,
        },
    }
    if type(optimizer) not in usual or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    states = [optimizer.state.get(parameter) for parameter in group["params"]]
    steps = {int(state["step"]) if state else 0 for state in states}
    return (
        len(steps) == 1
        and group["eps"] >= LEAST_EPS
        and all(group.get(name) == value for name, value in usual[type(optimizer)].items())
    )


def average_into(targets: list[Tensor], parameters: list[Tensor], tau: float) -> None:
    """Move the parameters of target networks towards others, as the library's `polyak_update`."""
    torch._foreach_mul_(targets, 1 - tau)
    torch._foreach_add_(targets, parameters, alpha=tau)
