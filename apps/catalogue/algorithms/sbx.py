"""What the `sbx` backend can train: the algorithms of Stable-Baselines3's JAX port.

Each is described by how it differs from the entry that `sb3` has for torch. Offered is
what the port's constructors obey: not what they take and then ignore (PPO's `clip_range_vf`, a
schedule of DQN's learning rate), and no state-dependent exploration, which the port calls
unfinished. Light: classes are named by path; a test compares everything with the package.
"""

from dataclasses import replace
from typing import Any

from apps.catalogue.algorithms.algorithm import VECTORS, Algorithm, ObservationKind
from apps.catalogue.algorithms.off_policy import policy_delay
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.schema import Hyperparameter
from apps.catalogue.algorithms.shared import CROSSQ_WIDTHS, by_name, flag, net, number, whole

_VECTORS_AND_IMAGES: frozenset[ObservationKind] = frozenset({"vector", "image"})
_VECTORS_AND_DICTS: frozenset[ObservationKind] = frozenset({"vector", "dict"})

_REPLAY = "buffer_size learning_starts batch_size gamma train_freq gradient_steps"
_NETWORKS = "net_arch critic_net_arch activation_fn"
_NOISE = "noise_type noise_std"
_CRITIC_RATE = number(
    "qf_learning_rate",
    None,
    1e-7,
    1.0,
    "Step size of the critics' optimizer; null: learning_rate.",
    is_log=True,
)
_REGULARISERS = (
    number(
        "dropout_rate",
        0.0,
        0.0,
        0.9,
        "Share of the critics' units that are left out at random.",
        is_ours=True,
    ),
    flag("layer_norm", False, "Whether the layers of the critics are normalised.", is_ours=True),
)


def _ported(
    name: str,
    keeps: str,
    *changed: Hyperparameter,
    widths: tuple[int, ...] = (256, 256),
    words: str = "",
    **fields: Any,
) -> Algorithm:
    """Describe a ported algorithm by what it keeps of the original's entry and what it changes."""
    original = ALGORITHMS[name]
    schemas = {kept: original.hyperparameters[kept] for kept in keeps.split()}
    schemas |= by_name(*changed)
    schemas["net_arch"] = by_name(*net(*widths, words=words))["net_arch"]
    return replace(
        original,
        backend="sbx",
        class_path=f"sbx:{original.title}",
        hyperparameters=schemas,
        **fields,
    )


def _constant_rate(default: float) -> Hyperparameter:
    """Return a learning rate that the port reads once, so that a schedule would do nothing."""
    rate = ALGORITHMS["dqn"].hyperparameters["learning_rate"]
    return replace(rate, default=default, is_schedule=False)


SBX_ALGORITHMS: dict[str, Algorithm] = {
    "ppo": _ported(
        "ppo",
        "learning_rate n_steps batch_size n_epochs gamma gae_lambda clip_range "
        f"normalize_advantage ent_coef vf_coef max_grad_norm target_kl {_NETWORKS} log_std_init",
        number(
            "target_kl",
            None,
            1e-6,
            10.0,
            "The learning rate is adapted to move the policy this far.",
        ),
        flag(
            "ortho_init",
            False,
            "Whether the last layer's weights start orthogonal and small.",
            is_ours=True,
        ),
        widths=(64, 64),
        observations=_VECTORS_AND_IMAGES,
    ),
    "dqn": _ported(
        "dqn",
        f"learning_rate {_REPLAY} tau target_update_interval exploration_fraction "
        "exploration_initial_eps exploration_final_eps net_arch activation_fn",
        _constant_rate(1e-4),
        whole(
            "target_update_interval",
            1000,
            1,
            100_000_000,
            "Steps between updates of the target network.",
            is_log=True,
        ),
        words="256, 256; always two of one width",
        observations=_VECTORS_AND_IMAGES,
        diagnostics=("rollout/exploration_rate", "train/critic_loss", "train/qf_mean_value"),
    ),
    "sac": _ported(
        "sac",
        f"learning_rate {_REPLAY} tau ent_coef target_entropy {_NOISE} {_NETWORKS} n_critics",
        _CRITIC_RATE,
        policy_delay(1),
        *_REGULARISERS,
        observations=_VECTORS_AND_DICTS,
    ),
    "td3": _ported(
        "td3",
        f"learning_rate {_REPLAY} tau policy_delay target_policy_noise target_noise_clip {_NOISE} "
        f"{_NETWORKS} n_critics",
        _constant_rate(3e-4),
        _CRITIC_RATE,
        *_REGULARISERS,
        observations=_VECTORS_AND_DICTS,
    ),
    "ddpg": _ported(
        "ddpg",
        f"learning_rate {_REPLAY} tau {_NOISE} {_NETWORKS}",
        _constant_rate(3e-4),
        replace(_CRITIC_RATE, default=1e-3),
        *_REGULARISERS,
        observations=VECTORS,
    ),
    "tqc": _ported(
        "tqc",
        f"learning_rate {_REPLAY} tau n_quantiles top_quantiles_to_drop_per_net ent_coef "
        f"target_entropy {_NOISE} {_NETWORKS}",
        _CRITIC_RATE,
        policy_delay(1),
        *_REGULARISERS,
        observations=_VECTORS_AND_DICTS,
    ),
    "crossq": _ported(
        "crossq",
        f"learning_rate {_REPLAY} policy_delay ent_coef target_entropy {_NOISE} {_NETWORKS} "
        "n_critics",
        _constant_rate(1e-3),
        _CRITIC_RATE,
        *_REGULARISERS,
        widths=(1024, 1024),
        words=CROSSQ_WIDTHS,
        observations=_VECTORS_AND_DICTS,
    ),
}
