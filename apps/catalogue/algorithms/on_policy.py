"""Hyperparameters of on-policy algorithms, each written once. Data only."""

from apps.catalogue.algorithms.schema import Hyperparameter
from apps.catalogue.algorithms.shared import (
    GAMMA,
    LOG_STD_INIT,
    ORTHO_INIT,
    SDE,
    flag,
    learning_rate,
    max_grad_norm,
    net,
    number,
    whole,
)

VF_COEF = number("vf_coef", 0.5, 0.0, 10.0, "Weight of the value loss.")
ENTROPY_BONUS = number(
    "ent_coef",
    0.0,
    0.0,
    10.0,
    "Weight of the entropy bonus: more explores more.",
    is_log=True,
    is_important=True,
)


def rollout(default: int) -> Hyperparameter:
    """Return the length of a rollout."""
    return whole(
        "n_steps",
        default,
        2,
        1_000_000,
        "Steps of each environment in one rollout.",
        is_log=True,
        is_important=True,
    )


def samples(default: int) -> Hyperparameter:
    """Return the batch of an on-policy algorithm."""
    return whole(
        "batch_size",
        default,
        2,
        1_000_000,
        "Samples in one gradient step.",
        is_log=True,
        is_important=True,
    )


def gae(default: float) -> Hyperparameter:
    """Return the advantage estimate's trade-off."""
    return number(
        "gae_lambda", default, 0.0, 1.0, "Bias-variance trade-off of the advantage estimate (GAE)."
    )


def normalize_advantage(default: bool) -> Hyperparameter:
    """Return whether advantages are normalised."""
    return flag("normalize_advantage", default, "Whether advantages are normalised.")


def ppo(n_steps: int, batch_size: int, has_sde: bool = True) -> tuple[Hyperparameter, ...]:
    """Return what PPO and its variants share."""
    return (
        learning_rate(3e-4),
        rollout(n_steps),
        samples(batch_size),
        whole("n_epochs", 10, 1, 100, "Passes over each rollout.", is_important=True),
        GAMMA,
        gae(0.95),
        number(
            "clip_range",
            0.2,
            0.001,
            10.0,
            "How far one update may move the policy's probabilities.",
            is_schedule=True,
            is_important=True,
        ),
        number(
            "clip_range_vf",
            None,
            0.001,
            1e6,
            "The same for the value function; depends on the scale of rewards.",
            is_schedule=True,
        ),
        normalize_advantage(True),
        ENTROPY_BONUS,
        VF_COEF,
        max_grad_norm(0.5),
        *(SDE if has_sde else ()),
        number(
            "target_kl",
            None,
            1e-6,
            10.0,
            "Stop an update early when the policy has moved this far.",
        ),
        *net(64, 64),
        *((LOG_STD_INIT,) if has_sde else ()),
        ORTHO_INIT,
    )
