"""The catalogue of metrics: what each key of a log means, how it is estimated, what is healthy.

Owns the keys that training and evaluation here can write, Stable-Baselines3's verbatim; a test
compares them with the libraries' sources. docs/metrics.md is written from it. What scripts of
other libraries call them is in `metric_aliases`.
"""

from dataclasses import dataclass

_BUFFER = "SB3 `common/base_class.py` (`ep_info_buffer`)"
_OFF = "SB3 `common/off_policy_algorithm.py`"
_PPO = "SB3 `ppo/ppo.py`"
_PPO_PAPER = "[Schulman et al. 2017](https://arxiv.org/abs/1707.06347), " + _PPO
_KL = "[Schulman 2020](http://joschu.net/blog/kl-approx.html), " + _PPO
_A3C_PAPER = "[Mnih et al. 2016](https://arxiv.org/abs/1602.01783)"
_SAC_PAPER = "[Haarnoja et al. 2018](https://arxiv.org/abs/1812.05905), SB3 `sac/sac.py`"
_DQN_PAPER = "[Mnih et al. 2015](https://doi.org/10.1038/nature14236), SB3 `dqn/dqn.py`"
_TRPO_PAPER = (
    "[Schulman et al. 2015](https://arxiv.org/abs/1502.05477), sb3-contrib `trpo/trpo.py`"
)
_ARS_PAPER = "[Mania et al. 2018](https://arxiv.org/abs/1803.07055), sb3-contrib `ars/ars.py`"
_EVAL = "SB3 `common/callbacks.py` (`EvalCallback`)"
_OURS = "`apps/engine/training/callback.py`"


@dataclass(frozen=True, slots=True)
class Metric:
    """One key of a log.

    Attributes:
        key: The key.
        title: Its name for people.
        meaning: What it says, in one line.
        estimator: How the number is made.
        unit: Unit of its values.
        source: Paper or source file that defines it.
        healthy: What to expect of a training that goes well, empty where nothing is known.
        is_higher_better: Whether the greatest value is the best one; None where neither end is.
    """

    key: str
    title: str
    meaning: str
    estimator: str
    unit: str
    source: str
    healthy: str = ""
    is_higher_better: bool | None = None


METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        Metric(
            "episode/return",
            "Episode return",
            "Return of each training episode.",
            "sum of the rewards of one episode, before any normalisation",
            "reward",
            "lines of type `episode`",
            is_higher_better=True,
        ),
        Metric(
            "episode/length",
            "Episode length",
            "Length of each training episode, in steps.",
            "steps from reset to the end of one episode",
            "steps",
            "lines of type `episode`",
        ),
        Metric(
            "rollout/ep_rew_mean",
            "Training return",
            "Mean return of the last 100 training episodes.",
            "mean over the last 100 episodes that ended, exploration included",
            "reward",
            _BUFFER,
            "rises, then levels off",
            is_higher_better=True,
        ),
        Metric(
            "rollout/ep_len_mean",
            "Episode length",
            "Mean length of the last 100 training episodes, in steps.",
            "mean over the last 100 episodes that ended",
            "steps",
            _BUFFER,
        ),
        Metric(
            "rollout/success_rate",
            "Success rate",
            "Share of the last 100 episodes that succeeded.",
            "mean of `is_success` of the last 100 episodes, where the environment says it",
            "fraction 0-1",
            _OFF,
            "rises towards 1",
            is_higher_better=True,
        ),
        Metric(
            "rollout/exploration_rate",
            "Exploration rate",
            "Share of random actions.",
            "epsilon of the schedule",
            "fraction 0-1",
            _DQN_PAPER,
            "falls to `exploration_final_eps` as planned",
        ),
        Metric(
            "rollout/return_std",
            "Spread of returns",
            "How much the returns of the best tried directions differ.",
            "standard deviation over the `2 n_top` returns that an update uses",
            "reward",
            _ARS_PAPER,
            "above 0: without a difference there is nothing to learn from",
        ),
        Metric(
            "time/iterations",
            "Iterations",
            "Rollouts so far.",
            "count of rollouts, going on over attempts",
            "count",
            "SB3 `common/on_policy_algorithm.py`",
        ),
        Metric("time/episodes", "Episodes", "Episodes so far.", "count", "count", _OFF),
        Metric(
            "time/fps",
            "Speed since the start",
            "Steps a second since this attempt began.",
            "steps of the attempt over its wall time, updates included",
            "steps/s",
            _OFF,
            "steady; `rlgym/steps_per_s` shows the speed of the moment",
        ),
        Metric(
            "time/time_elapsed",
            "Time elapsed",
            "Time since this attempt began.",
            "wall time, whole seconds",
            "s",
            _OFF,
        ),
        Metric(
            "time/total_timesteps",
            "Steps",
            "Environment steps so far.",
            "summed over parallel environments",
            "steps",
            _OFF,
        ),
        Metric(
            "train/learning_rate",
            "Learning rate",
            "Step size of the optimizer.",
            "value of the schedule at the update",
            "none",
            "SB3 `common/base_class.py`",
        ),
        Metric(
            "train/n_updates",
            "Updates",
            "Updates so far.",
            "count of epochs (PPO), of rollouts (A2C, TRPO) or of gradient steps (the others)",
            "count",
            _PPO,
        ),
        Metric(
            "train/loss",
            "Loss",
            "What the optimizer minimises.",
            "PPO: the last minibatch, policy, value and entropy terms together; DQN, QR-DQN: mean "
            "over the gradient steps of the smooth L1 or quantile Huber loss of the Q network",
            "none",
            _PPO + ", " + _DQN_PAPER,
            "no trend to expect: targets move; a Q loss that grows without end is divergence",
        ),
        Metric(
            "train/policy_gradient_loss",
            "Policy loss",
            "Negative clipped surrogate objective: how much the update improves the policy.",
            "mean over the minibatches of all epochs",
            "none",
            _PPO_PAPER,
            "small, below 0 more often than not",
        ),
        Metric(
            "train/pg_loss",
            "Total loss",
            "What the optimizer of the policy minimises in sbx.",
            "the last minibatch, the entropy bonus included",
            "none",
            "sbx `ppo/ppo.py`",
        ),
        Metric(
            "train/policy_loss",
            "Policy loss",
            "Negative advantage-weighted log-probability.",
            "mean over the rollout",
            "none",
            _A3C_PAPER + ", SB3 `a2c/a2c.py`",
            "around 0",
        ),
        Metric(
            "train/policy_objective",
            "Policy objective",
            "Surrogate advantage that the update maximised.",
            "mean over the rollout, before the line search",
            "none",
            _TRPO_PAPER,
            "around 0 or above",
        ),
        Metric(
            "train/value_loss",
            "Value loss",
            "Squared error of the value network.",
            "mean squared error against the returns; mean over minibatches (PPO, TRPO)",
            "reward squared",
            _PPO_PAPER,
            "falls once returns level off; it grows with the scale of the returns",
        ),
        Metric(
            "train/entropy_loss",
            "Entropy loss",
            "Negative entropy of the policy; it rises towards 0 as the policy makes up its mind.",
            "negative mean entropy; where it has no closed form, the mean log-probability",
            "nats",
            _A3C_PAPER + ", " + _PPO,
            "rises slowly; a jump to 0 early on means that it stopped exploring",
        ),
        Metric(
            "train/approx_kl",
            "Approximate KL",
            "How far an update moved the policy; steadily above 0.02 is fast.",
            "mean of (r - 1) - log r over the minibatches of the last epoch, r the probability "
            "ratio",
            "nats",
            _KL,
            "0.003 to 0.02",
        ),
        Metric(
            "train/kl_divergence_loss",
            "KL divergence",
            "How far the update moved the policy.",
            "mean KL divergence of the new policy from the old one over the rollout",
            "nats",
            _TRPO_PAPER,
            "below `target_kl`; 0 where the line search found no better policy",
        ),
        Metric(
            "train/is_line_search_success",
            "Line search",
            "Whether the update found a better policy within its limit.",
            "1 or 0",
            "none",
            _TRPO_PAPER,
            "1 most of the time",
            is_higher_better=True,
        ),
        Metric(
            "train/clip_fraction",
            "Clip fraction",
            "Share of samples whose update was clipped; above 0.3 the steps are too large.",
            "mean over the minibatches of all epochs of |r - 1| > clip range",
            "fraction 0-1",
            _PPO,
            "0.02 to 0.3",
        ),
        Metric(
            "train/clip_range",
            "Clip range",
            "How far the probability ratio may go from 1.",
            "value of the schedule",
            "none",
            _PPO_PAPER,
        ),
        Metric(
            "train/clip_range_vf",
            "Clip range of the value",
            "How far an update may move a value.",
            "value of the schedule, where one is set",
            "reward",
            _PPO,
        ),
        Metric(
            "train/explained_variance",
            "Explained variance",
            "How much of the returns the value network foresees; 1 is all, 0 no more than their "
            "mean.",
            "1 - Var(returns - values) / Var(returns) over the rollout; NaN where returns are "
            "constant",
            "none, at most 1",
            "SB3 `common/utils.py`",
            "rises towards 1; below 0 it is worse than no value network",
            is_higher_better=True,
        ),
        Metric(
            "train/std",
            "Standard deviation of actions",
            "How widely a policy for continuous actions explores.",
            "mean over the dimensions of the action",
            "action",
            "SB3 `common/distributions.py`",
            "falls slowly; growth means that exploring pays more than acting",
        ),
        Metric(
            "train/actor_loss",
            "Actor loss",
            "Negative value that the critic gives to the policy's actions.",
            "mean over gradient steps; SAC, TQC, CrossQ: entropy term included",
            "reward",
            _SAC_PAPER + ", `td3/td3.py`",
            "falls as returns rise: it follows the scale of the returns",
        ),
        Metric(
            "train/critic_loss",
            "Critic loss",
            "Error of the Q networks.",
            "mean over gradient steps; SAC, CrossQ: half the sum over critics of the mean squared "
            "error; TD3, DDPG: the sum; TQC: quantile Huber loss; DQN in sbx: Huber loss",
            "reward squared",
            _SAC_PAPER + ", `td3/td3.py`",
            "levels off; growth without end is divergence",
        ),
        Metric(
            "train/qf_mean_value",
            "Mean Q value",
            "What the Q network expects on average.",
            "mean over the sampled transitions",
            "reward",
            "sbx `dqn/dqn.py`",
            "within what an episode can return; beyond it, it overestimates",
        ),
        Metric(
            "train/ent_coef",
            "Entropy coefficient",
            "How much randomness of the policy is worth.",
            "mean over gradient steps",
            "reward per nat",
            _SAC_PAPER,
            "falls, then holds; growth without end means that the entropy is never reached",
        ),
        Metric(
            "train/ent_coef_loss",
            "Entropy coefficient loss",
            "How far the entropy is from its target.",
            "mean over gradient steps",
            "none",
            _SAC_PAPER,
            "around 0 once the coefficient holds",
        ),
        Metric(
            "train/iterations",
            "Updates",
            "Updates of the search so far.",
            "count",
            "count",
            _ARS_PAPER,
        ),
        Metric(
            "train/delta_std",
            "Size of the tries",
            "How far the tried directions go.",
            "value of the schedule",
            "weight",
            _ARS_PAPER,
        ),
        Metric(
            "train/step_size",
            "Step size",
            "How far an update went along the directions.",
            "learning rate over `n_top` times the spread of returns",
            "none",
            _ARS_PAPER,
        ),
        Metric(
            "rlgym/steps_per_s",
            "Speed",
            "Steps a second of training at this moment.",
            "steps over wall time since the last such value, about a second",
            "steps/s",
            _OURS,
            "steady",
            is_higher_better=True,
        ),
        Metric(
            "rlgym/memory_mb",
            "Memory",
            "Memory of the training process.",
            "resident set size, without subprocesses",
            "MB (10^6 bytes)",
            _OURS,
            "level once the replay buffer is full",
        ),
        Metric(
            "eval/mean_reward",
            "Evaluation",
            "Mean return of each evaluation.",
            "mean over the episodes of one evaluation, without exploration unless asked for",
            "reward",
            "lines of type `evaluation`; " + _EVAL,
            "rises; far below training: look at the wrappers",
            is_higher_better=True,
        ),
        Metric(
            "eval/mean_ep_length",
            "Evaluation: episode length",
            "Mean length of the episodes of each evaluation, in steps.",
            "mean over the episodes of one evaluation; only from scripts",
            "steps",
            _EVAL,
        ),
        Metric(
            "eval/success_rate",
            "Evaluation: success rate",
            "Share of the episodes of each evaluation that succeeded.",
            "mean of `is_success`; only from scripts",
            "fraction 0-1",
            _EVAL,
            "rises towards 1",
            is_higher_better=True,
        ),
    )
}

# What lines of type `episode` say, and what the result of an evaluation sums up.
EPISODE_FIELDS = {
    "return": "Sum of the rewards, before any normalisation.",
    "length": "Steps from reset to the end.",
    "env": "Number of the parallel environment, from 0.",
    "seed": "Seed of its reset, where a script says it.",
}
EVALUATION_FIELDS = {
    "n_episodes": "Episodes that were played.",
    "return_mean": "Mean of their returns; the point of `eval/mean_reward`.",
    "return_std": "Standard deviation of their returns, the population's (divided by N).",
    "return_min": "Least return.",
    "return_max": "Greatest return.",
    "length_mean": "Mean of their lengths, in steps.",
    "n_terminated": "Episodes that the environment ended.",
    "n_truncated": "Episodes that the environment's step limit ended.",
    "n_capped": "Episodes that the evaluation's own step limit ended.",
}
