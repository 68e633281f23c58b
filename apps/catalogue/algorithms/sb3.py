"""The catalogue of algorithms: where each class lives and what its hyperparameters may be.

Owns names, bounds, defaults and meanings. Must stay light: it names the classes of
Stable-Baselines3 and sb3-contrib by path and never imports them, so that a web server can
validate a form. Defaults are those of the libraries' constructors; a test compares them.
"""

from functools import partial

from apps.catalogue.algorithms.algorithm import (
    ANY_ACTION,
    CONTINUOUS,
    DISCRETE,
    VECTORS,
    Algorithm,
)
from apps.catalogue.algorithms.schema import (
    Hyperparameter,
)
from apps.catalogue.algorithms.shared import (
    CROSSQ_WIDTHS,
    ENTROPY_BONUS,
    GAMMA,
    HINDSIGHT,
    LOG_STD_INIT,
    N_CRITICS,
    NOISE,
    ORTHO_INIT,
    SDE,
    TARGET_UPDATES,
    VF_COEF,
    by_name,
    entropy,
    epsilon_greedy,
    flag,
    gae,
    learning_rate,
    max_grad_norm,
    net,
    normalize_advantage,
    number,
    policy_delay,
    ppo,
    quantiles,
    replay,
    rollout,
    samples,
    tau,
    whole,
)

_PPO_CHARTS = ("train/entropy_loss", "train/approx_kl", "train/clip_fraction")
_VALUE_CHARTS = ("rollout/exploration_rate", "train/loss")
_ACTOR_CHARTS = ("train/actor_loss", "train/critic_loss")
_ENTROPY_CHARTS = ("train/ent_coef", *_ACTOR_CHARTS)

_on_policy = partial(Algorithm, is_on_policy=True, max_envs=256)
_off_policy = partial(Algorithm, is_on_policy=False, has_replay_buffer=True, max_envs=256)

ALGORITHMS: dict[str, Algorithm] = {
    "ppo": _on_policy(
        "ppo", "PPO", "stable_baselines3:PPO",
        "Proximal Policy Optimization: robust on-policy learning with clipped updates.",
        ANY_ACTION, diagnostics=_PPO_CHARTS, hyperparameters=by_name(*ppo(2048, 64)),
    ),
    "dqn": _off_policy(
        "dqn", "DQN", "stable_baselines3:DQN",
        "Deep Q-Network: off-policy value learning from a buffer, discrete actions.",
        DISCRETE, diagnostics=_VALUE_CHARTS,
        hyperparameters=by_name(
            learning_rate(1e-4), *replay(32, train_freq=4), tau(1.0),
            *epsilon_greedy(0.1, 0.05), max_grad_norm(10.0), *net(64, 64, has_critic=False),
            *HINDSIGHT,
        ),
    ),
    "a2c": _on_policy(
        "a2c", "A2C", "stable_baselines3:A2C",
        "Advantage Actor-Critic: the plainest on-policy learner, many short rollouts.",
        ANY_ACTION,
        diagnostics=("train/entropy_loss", "train/value_loss", "train/explained_variance"),
        hyperparameters=by_name(
            learning_rate(7e-4), rollout(5), GAMMA, gae(1.0), ENTROPY_BONUS, VF_COEF,
            max_grad_norm(0.5),
            flag("use_rms_prop", True, "Whether the optimizer is RMSprop; false: Adam."),
            number("rms_prop_eps", 1e-5, 1e-10, 1.0, "Stabiliser in RMSprop's denominator.",
                   is_log=True),
            normalize_advantage(False), *SDE, *net(64, 64), LOG_STD_INIT, ORTHO_INIT,
        ),
    ),
    "sac": _off_policy(
        "sac", "SAC", "stable_baselines3:SAC",
        "Soft Actor-Critic: sample-efficient control that keeps its policy as random as it can.",
        CONTINUOUS, diagnostics=_ENTROPY_CHARTS,
        hyperparameters=by_name(
            learning_rate(3e-4), *replay(256, train_freq=1), tau(0.005), TARGET_UPDATES,
            *entropy(256, 256),
            *HINDSIGHT,
        ),
    ),
    "td3": _off_policy(
        "td3", "TD3", "stable_baselines3:TD3",
        "Twin Delayed DDPG: a deterministic policy with two critics and delayed updates.",
        CONTINUOUS, diagnostics=_ACTOR_CHARTS,
        hyperparameters=by_name(
            learning_rate(1e-3), *replay(256, train_freq=1), tau(0.005), policy_delay(2),
            number("target_policy_noise", 0.2, 0.0, 10.0,
                   "Standard deviation of the noise that smooths target actions."),
            number("target_noise_clip", 0.5, 0.0, 10.0, "Most that this noise may be."),
            *NOISE, *net(400, 300), N_CRITICS,
            *HINDSIGHT,
        ),
    ),
    "ddpg": _off_policy(
        "ddpg", "DDPG", "stable_baselines3:DDPG",
        "Deep Deterministic Policy Gradient: one critic, one deterministic policy; see TD3.",
        CONTINUOUS, diagnostics=_ACTOR_CHARTS,
        hyperparameters=by_name(
            learning_rate(1e-3), *replay(256, train_freq=1), tau(0.005), *NOISE,
            *net(400, 300),
            *HINDSIGHT,
        ),
    ),
    "trpo": _on_policy(
        "trpo", "TRPO", "sb3_contrib:TRPO",
        "Trust Region Policy Optimization: each update stays within a measured distance.",
        ANY_ACTION,
        diagnostics=("train/kl_divergence_loss", "train/value_loss", "train/explained_variance"),
        hyperparameters=by_name(
            learning_rate(1e-3), rollout(2048), samples(128), GAMMA, gae(0.95),
            number("target_kl", 0.01, 1e-6, 10.0, "How far one update moves the policy.",
                   is_log=True, is_important=True),
            whole("n_critic_updates", 10, 1, 1000, "Passes of the critic over each rollout."),
            whole("cg_max_steps", 15, 1, 1000, "Most iterations of the conjugate gradient."),
            number("cg_damping", 0.1, 0.0, 10.0, "Damping of the conjugate gradient."),
            whole("line_search_max_iter", 10, 1, 1000, "Most steps of the line search."),
            number("line_search_shrinking_factor", 0.8, 0.01, 0.99,
                   "Factor by which the line search shortens its step."),
            whole("sub_sampling_factor", 1, 1, 1000,
                 "Only every so many samples are used for the policy's update."),
            normalize_advantage(True), *SDE, *net(64, 64), LOG_STD_INIT, ORTHO_INIT,
        ),
    ),
    "recurrent_ppo": _on_policy(
        "recurrent_ppo", "RecurrentPPO", "sb3_contrib:RecurrentPPO",
        "PPO with an LSTM: for tasks where one observation does not tell the whole state.",
        ANY_ACTION - {"multi_binary"}, diagnostics=_PPO_CHARTS, is_recurrent=True,
        hyperparameters=by_name(
            *ppo(128, 128),
            whole("lstm_hidden_size", 256, 1, 4096, "Width of the LSTM.",
                 is_ours=True, is_log=True, is_important=True),
            whole("n_lstm_layers", 1, 1, 8, "Layers of the LSTM.", is_ours=True),
            flag("shared_lstm", False, "Whether policy and critic share one LSTM.",
                  is_ours=True),
            flag("enable_critic_lstm", True, "Whether the critic has an LSTM of its own.",
                  is_ours=True),
        ),
    ),
    "maskable_ppo": _on_policy(
        "maskable_ppo", "MaskablePPO", "sb3_contrib:MaskablePPO",
        "PPO that never takes an invalid action: the environment says which are valid.",
        ANY_ACTION - CONTINUOUS, diagnostics=_PPO_CHARTS, needs_action_masks=True,
        hyperparameters=by_name(*ppo(2048, 64, has_sde=False)),
    ),
    "qrdqn": _off_policy(
        "qrdqn", "QRDQN", "sb3_contrib:QRDQN",
        "Quantile-Regression DQN: learns the whole spread of returns, not only their mean.",
        DISCRETE, diagnostics=_VALUE_CHARTS,
        hyperparameters=by_name(
            learning_rate(5e-5), *replay(32, train_freq=4), tau(1.0),
            *epsilon_greedy(0.005, 0.01), max_grad_norm(None), quantiles(200),
            *net(64, 64, has_critic=False),
            *HINDSIGHT,
        ),
    ),
    "tqc": _off_policy(
        "tqc", "TQC", "sb3_contrib:TQC",
        "Truncated Quantile Critics: SAC whose critics drop their most hopeful quantiles.",
        CONTINUOUS, diagnostics=_ENTROPY_CHARTS,
        hyperparameters=by_name(
            learning_rate(3e-4), *replay(256, train_freq=1), tau(0.005), TARGET_UPDATES,
            quantiles(25),
            whole("top_quantiles_to_drop_per_net", 2, 0, 999,
                 "Quantiles that each critic drops from the top; fewer than n_quantiles.",
                 is_important=True),
            *entropy(256, 256),
            *HINDSIGHT,
        ),
    ),
    "crossq": _off_policy(
        "crossq", "CrossQ", "sb3_contrib:CrossQ",
        "SAC with batch normalisation in place of target networks: fewer samples, one update.",
        CONTINUOUS, diagnostics=_ENTROPY_CHARTS, observations=VECTORS,
        hyperparameters=by_name(
            learning_rate(1e-3), *replay(256, train_freq=1), policy_delay(3),
            *entropy(1024, 1024, words=CROSSQ_WIDTHS),
        ),
    ),
    "ars": Algorithm(
        "ars", "ARS", "sb3_contrib:ARS",
        "Augmented Random Search: tries random directions in weight space; no gradients.",
        DISCRETE | CONTINUOUS, is_on_policy=False, max_envs=1, observations=VECTORS,
        diagnostics=("train/step_size", "rollout/return_std", "train/delta_std"),
        hyperparameters=by_name(
            number("learning_rate", 0.02, 1e-7, 1.0, "Step size of an update.",
                   is_schedule=True, is_log=True, is_important=True),
            number("delta_std", 0.05, 1e-6, 10.0, "Size of the random directions.",
                   is_schedule=True, is_log=True, is_important=True),
            whole("n_delta", 8, 1, 10_000, "Directions tried for each update, each both ways.",
                 is_log=True, is_important=True),
            whole("n_top", None, 1, 10_000, "Best directions that count; null: all of them."),
            flag("zero_policy", True, "Whether all weights start at zero."),
            number("alive_bonus_offset", 0.0, -1000.0, 1000.0,
                   "Added to every reward, to cancel a bonus for staying alive."),
            whole("n_eval_episodes", 1, 1, 1000, "Episodes that judge one direction."),
            Hyperparameter("policy", "choice", "linear", "A linear map or a small network.",
                           choices=("linear", "mlp"), is_ours=True, is_important=True),
            *net(64, 64, has_critic=False),
        ),
    ),
}  # fmt: skip
