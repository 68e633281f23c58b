"""Hyperparameters of off-policy algorithms, each written once. Data only."""

from apps.catalogue.algorithms.schema import Hyperparameter
from apps.catalogue.algorithms.shared import GAMMA, LOG_STD_INIT, SDE, flag, net, number, whole


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
