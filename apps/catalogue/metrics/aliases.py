"""What other libraries call the metrics of the catalogue: the one table that says so.

Names are those that the libraries' own loggers write. Values are never changed: where another
library defines a metric with another sign or scale, the factor says what they would be multiplied
by. What depends on how a library is set up (RLlib's policies other than `default_policy`) has no
alias.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alias:
    """Another library's name of a metric.

    Attributes:
        key: The name that it writes.
        library: The library.
        target: Key of the metric in the catalogue.
        factor: What its values times this factor are is the metric.
        note: How it differs, empty where it does not.
    """

    key: str
    library: str
    target: str
    factor: float = 1.0
    note: str = ""


_ENTROPY = "the entropy itself"
_HALF = "half the squared error"


def _named(library: str, *rows: tuple[str, str] | tuple[str, str, float, str]) -> Iterator[Alias]:
    for key, target, *rest in rows:
        yield Alias(key, library, target, *rest)  # type: ignore[arg-type]


def _rllib(prefix: str, kl: str, rate: str, *more: tuple[str, str]) -> Iterator[Alias]:
    return _named(
        "RLlib",
        (f"{prefix}/policy_loss", "train/policy_gradient_loss"),
        (f"{prefix}/vf_loss", "train/value_loss"),
        (f"{prefix}/vf_explained_var", "train/explained_variance"),
        (f"{prefix}/entropy", "train/entropy_loss", -1.0, _ENTROPY),
        (f"{prefix}/{kl}", "train/approx_kl", 1.0, "the exact KL divergence"),
        (f"{prefix}/total_loss", "train/loss"),
        (f"{prefix}/{rate}", "train/learning_rate"),
        *((f"{prefix}/{key}", target) for key, target in more),
    )


ALIASES: dict[str, Alias] = {
    alias.key: alias
    for alias in (
        *_named(
            "CleanRL",
            ("charts/episodic_return", "episode/return"),
            ("charts/episodic_length", "episode/length"),
            ("charts/learning_rate", "train/learning_rate"),
            ("charts/SPS", "time/fps"),
            ("charts/epsilon", "rollout/exploration_rate"),
            ("losses/value_loss", "train/value_loss", 2.0, _HALF),
            ("losses/policy_loss", "train/policy_gradient_loss", 1.0, "of the last minibatch"),
            ("losses/entropy", "train/entropy_loss", -1.0, _ENTROPY),
            ("losses/approx_kl", "train/approx_kl", 1.0, "of the last minibatch"),
            ("losses/clipfrac", "train/clip_fraction"),
            ("losses/explained_variance", "train/explained_variance"),
            ("losses/td_loss", "train/loss", 1.0, "squared error instead of smooth L1"),
            ("losses/q_values", "train/qf_mean_value"),
            ("losses/qf_loss", "train/critic_loss", 1.0, "as SAC has it; TD3's is twice that"),
            ("losses/actor_loss", "train/actor_loss"),
            ("losses/alpha", "train/ent_coef"),
            ("losses/alpha_loss", "train/ent_coef_loss"),
        ),
        *_named(
            "Sample-Factory",
            ("reward/reward", "rollout/ep_rew_mean"),
            ("len/len", "rollout/ep_len_mean"),
            ("policy/avg_reward", "rollout/ep_rew_mean", 1.0, "version 1"),
            ("policy/avg_len", "rollout/ep_len_mean", 1.0, "version 1"),
            ("perf/_fps", "rlgym/steps_per_s"),
            ("train/entropy", "train/entropy_loss", -1.0, _ENTROPY),
            ("train/kl_divergence", "train/approx_kl", 1.0, "the exact KL divergence"),
            ("train/fraction_clipped", "train/clip_fraction"),
            ("train/lr", "train/learning_rate"),
        ),
        *_named(
            "Tianshou",
            (
                "train/returns_stat/mean",
                "rollout/ep_rew_mean",
                1.0,
                "of the episodes just collected",
            ),
            ("train/lens_stat/mean", "rollout/ep_len_mean", 1.0, "of the episodes just collected"),
            ("test/returns_stat/mean", "eval/mean_reward"),
            ("test/lens_stat/mean", "eval/mean_ep_length"),
            ("train/reward", "rollout/ep_rew_mean", 1.0, "before version 1"),
            ("train/length", "rollout/ep_len_mean", 1.0, "before version 1"),
            ("test/reward", "eval/mean_reward", 1.0, "before version 1"),
            ("test/length", "eval/mean_ep_length", 1.0, "before version 1"),
        ),
        *_named(
            "RLlib",
            ("env_runners/episode_return_mean", "rollout/ep_rew_mean"),
            ("env_runners/episode_len_mean", "rollout/ep_len_mean"),
            ("env_runners/episode_reward_mean", "rollout/ep_rew_mean", 1.0, "old API"),
            ("episode_reward_mean", "rollout/ep_rew_mean", 1.0, "old API"),
            ("episode_len_mean", "rollout/ep_len_mean", 1.0, "old API"),
            ("evaluation/env_runners/episode_return_mean", "eval/mean_reward"),
            ("evaluation/env_runners/episode_len_mean", "eval/mean_ep_length"),
        ),
        *_rllib(
            "learners/default_policy",
            "mean_kl_loss",
            "default_optimizer_learning_rate",
            ("qf_loss", "train/critic_loss"),
            ("qf_mean", "train/qf_mean_value"),
            ("alpha_value", "train/ent_coef"),
            ("alpha_loss", "train/ent_coef_loss"),
        ),
        *_rllib("info/learner/default_policy/learner_stats", "kl", "cur_lr"),
    )
}


def names_of(targets: Iterable[str]) -> Mapping[str, str]:
    """Return the keys that stand for some metrics, each with its metric, themselves first."""
    wanted = dict.fromkeys(targets)
    own = {key: key for key in wanted}
    return own | {key: alias.target for key, alias in ALIASES.items() if alias.target in wanted}
