"""Which hyperparameters make networks of given shapes, and what those networks read and give.

The names are those of the policies' modules in Stable-Baselines3 and sb3-contrib; a test builds
every algorithm and compares.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.errors import RefusedFile
from apps.foreign.models import ModelFile

Shapes = Mapping[str, tuple[int, ...]]
LSTM_GATES = 4
ACTIVATION_CLASSES = {"Tanh": "tanh", "ReLU": "relu", "ELU": "elu", "GELU": "gelu", "SiLU": "silu"}


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a policy keeps its layers.

    Attributes:
        actor: Numbered layers that decide.
        head: The layer after them that gives the actions; empty when it is the last of them.
        critic: Numbered layers that estimate values, empty when there are none of their own.
        is_critic_whole: Whether the last of those is the one that gives the value.
    """

    actor: str
    head: str = ""
    critic: str = ""
    is_critic_whole: bool = True


_ON_POLICY = Layout(
    "mlp_extractor.policy_net", "action_net", "mlp_extractor.value_net", is_critic_whole=False
)
_SOFT = Layout("actor.latent_pi", "actor.mu", "critic.qf0")
_DETERMINISTIC = Layout("actor.mu", critic="critic.qf0")
LAYOUTS: dict[str, Layout] = {
    "ppo": _ON_POLICY,
    "a2c": _ON_POLICY,
    "trpo": _ON_POLICY,
    "recurrent_ppo": _ON_POLICY,
    "maskable_ppo": _ON_POLICY,
    "dqn": Layout("q_net.q_net"),
    "qrdqn": Layout("quantile_net.quantile_net"),
    "sac": _SOFT,
    "tqc": _SOFT,
    "crossq": _SOFT,
    "td3": _DETERMINISTIC,
    "ddpg": _DETERMINISTIC,
    "ars": Layout("action_net"),
}


@dataclass(frozen=True, slots=True)
class Networks:
    """What networks of some shapes need and do.

    Attributes:
        hyperparameters: The values that make networks of these shapes, by name.
        n_inputs: Numbers that they read, None where that cannot be told (images, dictionaries).
        n_outputs: Numbers that an action, or a choice among actions, is made of.
    """

    hyperparameters: dict[str, Any]
    n_inputs: int | None
    n_outputs: int | None


def networks_of(file: ModelFile, algorithm: str) -> Networks:
    """Tell what an algorithm needs to hold the networks of a file.

    Raises:
        RefusedFile: They are not that algorithm's, or cannot be described by its hyperparameters.
    """
    shapes, layout = file.policy, LAYOUTS[algorithm]
    layers = _layers(shapes, layout.actor)
    head = _matrix(shapes, layout.head) if layout.head else layers[-1] if layers else None
    if head is None:
        raise RefusedFile(
            f"the networks in the file are not those of {ALGORITHMS[algorithm].title}: "
            f"{layout.head or layout.actor} is not among {', '.join(sorted(shapes)[:3])}, …"
        )
    needed = {
        **_hidden_layers(algorithm, shapes, layers),
        **_other_widths(algorithm, file, shapes),
        **_activation(file),
        **_learners(file),
    }
    known = ALGORITHMS[algorithm].hyperparameters
    has_extractor = any("features_extractor." in name for name in shapes)
    first = _matrix(shapes, "lstm_actor", "weight_ih_l0") or (layers[0] if layers else None)
    n_quantiles = needed.get("n_quantiles", 1) if algorithm == "qrdqn" else 1
    return Networks(
        {name: value for name, value in needed.items() if name in known},
        first[1] if first and not has_extractor else None,
        head[0] // n_quantiles,
    )


def _layers(shapes: Shapes, prefix: str) -> list[tuple[int, ...]]:
    """Return the shapes of numbered layers' weights, in order."""
    pattern = re.compile(re.escape(prefix) + r"\.(\d{1,3})\.weight")
    found = [(int(match[1]), name) for name in shapes if (match := pattern.fullmatch(name))]
    return [shapes[name] for _, name in sorted(found) if len(shapes[name]) == 2]


def _matrix(shapes: Shapes, *path: str) -> tuple[int, ...] | None:
    """Return the shape of one layer's weight, also where a second module squashes its result."""
    names = (".".join(path),) if len(path) > 1 else (f"{path[0]}.weight", f"{path[0]}.0.weight")
    found = [shapes[name] for name in names if len(shapes.get(name, ())) == 2]
    return found[0] if found else None


def _hidden_layers(
    algorithm: str, shapes: Shapes, layers: list[tuple[int, ...]]
) -> dict[str, Any]:
    layout = LAYOUTS[algorithm]
    actor = [rows for rows, _ in layers][: None if layout.head else -1]
    critic = actor
    if layout.critic:
        widths = [rows for rows, _ in _layers(shapes, layout.critic)]
        critic = widths[:-1] if layout.is_critic_whole else widths
    if algorithm == "ars":
        return {"policy": "mlp" if actor else "linear", "net_arch": actor or None}
    is_image = any("features_extractor.cnn." in name for name in shapes)
    if not actor and not critic and is_image:
        return {"net_arch": None, "critic_net_arch": None}  # The policy's own for images.
    if not actor or not critic:
        raise RefusedFile(
            "a network in the file has no hidden layer, which net_arch cannot say: it is a list "
            "of 1 to 8 widths"
        )
    return {"net_arch": actor, "critic_net_arch": None if critic == actor else critic}


def _other_widths(algorithm: str, file: ModelFile, shapes: Shapes) -> dict[str, Any]:
    critics = {match[0] for name in shapes if (match := re.match(r"critic\.qf\d+\.", name))}
    found: dict[str, Any] = {
        "use_sde": "actor.log_std" in shapes or len(shapes.get("log_std", ())) == 2,
        "n_critics": len(critics),
    }
    if algorithm == "tqc" and (layers := _layers(shapes, "critic.qf0")):
        found["n_quantiles"] = layers[-1][0]
    elif type(n_quantiles := file.settings.get("n_quantiles")) is int and n_quantiles > 0:
        found["n_quantiles"] = n_quantiles
    lstm = _matrix(shapes, "lstm_actor", "weight_ih_l0")
    if lstm:
        has_own = any(name.startswith("lstm_critic.") for name in shapes)
        found |= {
            "lstm_hidden_size": lstm[0] // LSTM_GATES,
            "n_lstm_layers": sum(name.startswith("lstm_actor.weight_ih_l") for name in shapes),
            "enable_critic_lstm": has_own,
            "shared_lstm": not has_own and "critic.weight" not in shapes,
        }
    return found


def _activation(file: ModelFile) -> dict[str, Any]:
    """Tell the activation from the text beside the pickled policy_kwargs; shapes do not show it.

    Raises:
        RefusedFile: It is one that no hyperparameter names.
    """
    kwargs = file.settings.get("policy_kwargs")
    text = kwargs.get("activation_fn") if isinstance(kwargs, dict) else None
    if not isinstance(text, str):
        return {"activation_fn": None} if isinstance(kwargs, dict) else {}
    name = text.removesuffix("'>").rpartition(".")[2]
    if name not in ACTIVATION_CLASSES:
        raise RefusedFile(
            f"the networks in the file use {text[:80]}; known here are "
            f"{', '.join(ACTIVATION_CLASSES)}"
        )
    return {"activation_fn": ACTIVATION_CLASSES[name]}


def _learners(file: ModelFile) -> dict[str, Any]:
    """Tell what decides which optimizers there are."""
    found: dict[str, Any] = {}
    optimizer = file.state_dicts.get("policy.optimizer")
    moments = optimizer.get("state") if isinstance(optimizer, dict) else None
    first = moments.get(0) if isinstance(moments, dict) else None
    if isinstance(first, dict):
        found["use_rms_prop"] = "square_avg" in first
    fixed = file.settings.get("ent_coef")
    if "ent_coef_optimizer" in file.state_dicts:
        found["ent_coef"] = "auto"
    elif "actor.optimizer" in file.state_dicts and isinstance(fixed, int | float):
        found["ent_coef"] = float(fixed)
    return found
