"""Hyperparameters that several algorithms share, each written once; and short ways to write one.

Data only. `algorithms.py` puts them together.
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

# --- on-policy algorithms ------------------------------------------------------------------------

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


# --- off-policy algorithms -----------------------------------------------------------------------


def replay(batch_size: int, train_freq: int) -> tuple[Hyperparameter, ...]:
    """Return what every learner from a replay buffer has."""
    return (
        whole(
            "buffer_size", 1_000_000, 1, 100_000_000, "Transitions kept for replay.", is_log=True
        ),
        whole(
            "learning_starts", 100, 0, 100_000_000, "Steps of pure exploration before learning."
        ),
        whole(
            "batch_size",
            batch_size,
            1,
            1_000_000,
            "Transitions in one gradient step.",
            is_log=True,
            is_important=True,
        ),
        GAMMA,
        whole(
            "train_freq",
            train_freq,
            1,
            1_000_000,
            "Steps between updates; episode: after every episode.",
            words=("episode",),
            is_important=True,
        ),
        whole(
            "gradient_steps",
            1,
            -1,
            1_000_000,
            "Gradient steps at each update; -1: as many as steps were taken.",
            is_important=True,
        ),
    )


# Hindsight experience replay (Andrychowicz et al., 2017): what was reached is learnt from as if it
# had been the goal.
HINDSIGHT = (
    flag(
        "her",
        False,
        "Hindsight: whether transitions are replayed with goals that were reached later; the "
        "environment must have goals.",
        is_ours=True,
    ),
    whole(
        "n_sampled_goal",
        4,
        1,
        1000,
        "With her: replayed transitions with such a goal for each one with its own.",
        is_ours=True,
    ),
    Hyperparameter(
        "goal_selection_strategy",
        "choice",
        "future",
        "With her: which state of the episode is the goal: a later one, the last, any.",
        choices=("future", "final", "episode"),
        is_ours=True,
    ),
)
HINDSIGHT_KEYWORDS = frozenset({"n_sampled_goal", "goal_selection_strategy"})  # Of the buffer.


def tau(default: float) -> Hyperparameter:
    """Return the share of a target update."""
    return number(
        "tau", default, 0.0, 1.0, "Share of the online network copied at each target update."
    )


N_CRITICS = whole("n_critics", 2, 1, 20, "Critics whose least estimate is trusted.", is_ours=True)
NOISE = (
    Hyperparameter(
        "noise_type",
        "choice",
        "none",
        "Noise added to actions while exploring.",
        choices=("none", "normal", "ornstein-uhlenbeck"),
        is_ours=True,
    ),
    number(
        "noise_std",
        0.1,
        0.0,
        10.0,
        "Standard deviation of that noise, in units of actions scaled to -1 to 1.",
        is_ours=True,
    ),
)


def policy_delay(default: int) -> Hyperparameter:
    """Return the delay of policy updates."""
    return whole("policy_delay", default, 1, 1000, "Critic updates for each update of the policy.")


def entropy(*widths: int, words: str = "") -> tuple[Hyperparameter, ...]:
    """Return what the maximum-entropy algorithms share; networks as for `net`."""
    return (
        number(
            "ent_coef",
            "auto",
            1e-6,
            10.0,
            "Weight of entropy; auto learns it, auto_0.1 starts from 0.1.",
            words=("auto", "auto_"),
            is_log=True,
            is_important=True,
        ),
        number(
            "target_entropy",
            "auto",
            -1000.0,
            1000.0,
            "Entropy that a learnt weight aims at; auto: minus the number of actions.",
            words=("auto",),
        ),
        *NOISE,
        *SDE,
        flag(
            "use_sde_at_warmup",
            False,
            "Whether the steps before learning explore with state-dependent noise too.",
        ),
        *net(*widths, words=words),
        N_CRITICS,
        LOG_STD_INIT,
        flag(
            "use_expln", False, "Whether state-dependent noise grows slowly above 1.", is_ours=True
        ),
    )


def epsilon_greedy(fraction: float, final: float) -> tuple[Hyperparameter, ...]:
    """Return what learners of values explore with."""
    return (
        whole(
            "target_update_interval",
            10_000,
            1,
            100_000_000,
            "Steps between updates of the target network.",
            is_log=True,
        ),
        number(
            "exploration_fraction",
            fraction,
            0.0,
            1.0,
            "Share of the run over which exploration decays.",
            is_important=True,
        ),
        number("exploration_initial_eps", 1.0, 0.0, 1.0, "Share of random actions at the start."),
        number(
            "exploration_final_eps",
            final,
            0.0,
            1.0,
            "Share of random actions at the end.",
            is_important=True,
        ),
    )


TARGET_UPDATES = whole(
    "target_update_interval",
    1,
    1,
    100_000_000,
    "Gradient steps between updates of the target network.",
    is_log=True,
)


def quantiles(default: int) -> Hyperparameter:
    """Return the number of quantiles."""
    return whole(
        "n_quantiles",
        default,
        1,
        1000,
        "Quantiles that stand for a return's spread.",
        is_ours=True,
    )
