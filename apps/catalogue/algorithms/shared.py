"""Hyperparameters that several algorithms share, each written once; and short ways to write one.

Data only. What only on-policy or off-policy algorithms have is in `on_policy` and `off_policy`;
`sb3` and `sbx` put them together.
"""

from typing import Any

from apps.catalogue.algorithms.schema import Hyperparameter


def whole(
    name: str, default: int | None, low: int, high: int, meaning: str, **more: Any
) -> Hyperparameter:
    """Write a whole number; a default of None makes it optional."""
    is_optional = default is None
    return Hyperparameter(
        name, "int", default, meaning, low=low, high=high, is_optional=is_optional, **more
    )


def number(
    name: str, default: float | str | None, low: float, high: float, meaning: str, **more: Any
) -> Hyperparameter:
    """Write a number; a default of None makes it optional."""
    is_optional = default is None
    return Hyperparameter(
        name, "float", default, meaning, low=low, high=high, is_optional=is_optional, **more
    )


def flag(name: str, default: bool, meaning: str, **more: Any) -> Hyperparameter:
    """Write a truth value."""
    return Hyperparameter(name, "bool", default, meaning, **more)


def by_name(*hyperparameters: Hyperparameter) -> dict[str, Hyperparameter]:
    """Return hyperparameters by name."""
    return {hyperparameter.name: hyperparameter for hyperparameter in hyperparameters}


def learning_rate(default: float) -> Hyperparameter:
    """Return the optimizer's step size."""
    return number(
        "learning_rate",
        default,
        1e-7,
        1.0,
        "Step size of the optimizer.",
        is_schedule=True,
        is_log=True,
        is_important=True,
    )


def max_grad_norm(default: float | None) -> Hyperparameter:
    """Return the clipping of gradients."""
    return number(
        "max_grad_norm", default, 0.001, 1000.0, "Gradients are clipped to this norm.", is_log=True
    )


def net(*widths: int, words: str = "", has_critic: bool = True) -> tuple[Hyperparameter, ...]:
    """Return what shapes the networks.

    Args:
        *widths: What the library's widest networks have by default.
        words: The defaults in words, where the widths do not say it all.
        has_critic: Whether the networks that estimate values can be others.
    """
    own = words or ", ".join(map(str, widths))
    net_arch = Hyperparameter(
        "net_arch",
        "layers",
        None,
        f"Widths of the hidden layers of the networks; null keeps the policy's own ({own}).",
        is_optional=True,
        is_ours=True,
        unset=widths,
    )
    critic = Hyperparameter(
        "critic_net_arch",
        "layers",
        None,
        "Widths of the hidden layers that estimate values, where they differ from net_arch.",
        is_optional=True,
        is_ours=True,
    )
    activation = Hyperparameter(
        "activation_fn",
        "choice",
        None,
        "Activation of the hidden layers; null keeps the policy's own.",
        choices=("tanh", "relu", "elu", "gelu", "silu"),
        is_optional=True,
        is_ours=True,
    )
    return (net_arch, critic, activation) if has_critic else (net_arch, activation)


CROSSQ_WIDTHS = "256, 256 to act, 1024, 1024 to value"
GAMMA = number(
    "gamma", 0.99, 0.0, 1.0, "Discount: how much a later reward counts.", is_important=True
)
SDE = (
    flag("use_sde", False, "State-dependent exploration, for continuous actions only."),
    whole(
        "sde_sample_freq",
        -1,
        -1,
        1_000_000,
        "Steps between new noise matrices; -1: once a rollout.",
    ),
)
LOG_STD_INIT = number(
    "log_std_init",
    None,
    -20.0,
    2.0,
    "Logarithm of the first standard deviation of actions; null keeps the policy's own.",
    is_ours=True,
)
ORTHO_INIT = flag("ortho_init", True, "Whether weights start orthogonal.", is_ours=True)
