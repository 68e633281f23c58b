"""The catalogue of algorithms: where each class lives and what its hyperparameters may be.

Owns names, bounds, defaults and meanings. Must stay light: it names the classes of
Stable-Baselines3 by path and never imports them, so that a web server can validate a form.
Defaults are those of Stable-Baselines3's constructors; a test compares them.
"""

import math
import reprlib
from dataclasses import dataclass, field
from typing import Any, Literal

from apps.engine.errors import FieldError

Kind = Literal["int", "float", "bool", "choice", "layers"]
SpaceKind = Literal["discrete", "box", "multi_discrete", "multi_binary", "other"]

SCHEDULE_PREFIX = "lin_"
MAX_LAYERS = 8
MAX_LAYER_WIDTH = 4096

# A refusal repeats the value it refuses, which may be megabytes of text or deeply nested lists.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxdict = 12


def shown(value: Any) -> str:
    """Return a value as a message shows it: its repr, cut short where it is long or deep."""
    return _SHORT.repr(value)


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One hyperparameter: its type, bounds, default and meaning.

    Attributes:
        name: Keyword of the algorithm's constructor, or `net_arch` / `activation_fn`.
        kind: `layers` is a list of hidden-layer widths.
        default: The library's default; None where the library says None.
        low: Least allowed number, inclusive.
        high: Greatest allowed number, inclusive.
        choices: Allowed values of kind `choice`.
        is_schedule: Whether `lin_<number>` (linear decay to 0 over the run) is allowed.
        is_optional: Whether None is allowed.
        is_log: Whether the value is best varied on a logarithmic scale.
        is_important: Whether it is among the few that matter most.
        meaning: One line for people.
    """

    name: str
    kind: Kind
    default: Any
    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    is_schedule: bool = False
    is_optional: bool = False
    is_log: bool = False
    is_important: bool = False

    def allowed(self) -> str:
        """Say in words which values are allowed."""
        if self.kind == "choice":
            text = "one of " + ", ".join(self.choices)
        elif self.kind == "bool":
            text = "true or false"
        elif self.kind == "layers":
            text = f"a list of 1 to {MAX_LAYERS} layer widths, each 1 to {MAX_LAYER_WIDTH}"
        elif self.kind == "int":
            text = f"an integer from {self.low:.0f} to {self.high:.0f}"
        else:
            text = f"a number from {self.low:g} to {self.high:g}"
        if self.is_schedule:
            text += f", or {SCHEDULE_PREFIX}<number> for linear decay"
        return text + (", or null" if self.is_optional else "")

    def parse(self, value: Any) -> Any:
        """Return the value in its own type.

        Raises:
            ValueError: The value has the wrong type or is out of bounds.
        """
        if value is None and self.is_optional:
            return None
        if self.kind == "choice":
            return self._check(value, value in self.choices)
        if self.kind == "bool":
            return self._parse_bool(value)
        if self.kind == "layers":
            return self._parse_layers(value)
        if self.is_schedule and isinstance(value, str) and value.startswith(SCHEDULE_PREFIX):
            try:
                number = self._parse_number(value.removeprefix(SCHEDULE_PREFIX))
            except ValueError:
                raise self._refusal(value) from None
            return f"{SCHEDULE_PREFIX}{number!r}"
        return self._parse_number(value)

    def _refusal(self, value: Any) -> ValueError:
        return ValueError(f"{shown(value)} is not allowed; it must be {self.allowed()}")

    def _check(self, value: Any, is_allowed: bool) -> Any:
        if not is_allowed:
            raise self._refusal(value)
        return value

    def _parse_bool(self, value: Any) -> bool:
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        return bool(self._check(value, isinstance(value, bool)))

    def _parse_layers(self, value: Any) -> list[int]:
        widths = _widths_in(value) if isinstance(value, str) else value
        if not isinstance(widths, list | tuple) or not 1 <= len(widths) <= MAX_LAYERS:
            raise self._refusal(value)
        if not all(type(width) is int and 1 <= width <= MAX_LAYER_WIDTH for width in widths):
            raise self._refusal(value)
        return list(widths)

    def _parse_number(self, value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self._refusal(value)
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise self._refusal(value) from None
        assert self.low is not None
        assert self.high is not None
        in_bounds = math.isfinite(number) and self.low <= number <= self.high
        is_whole = self.kind == "float" or number == int(number) if in_bounds else False
        self._check(value, in_bounds and is_whole)
        return int(number) if self.kind == "int" else number


@dataclass(frozen=True, slots=True)
class Algorithm:
    """One algorithm that can train.

    Attributes:
        name: The name users type (`ppo`).
        title: The name people read (`PPO`).
        class_path: `module:Class` of the implementation.
        meaning: One line for people.
        action_spaces: Kinds of action space it can act in.
        is_on_policy: Whether it learns from its latest rollout only.
        max_envs: Most parallel environments it takes.
        hyperparameters: Schema by name, in the order they are shown.
        diagnostics: Metric keys worth a chart beside return and episode length.
    """

    name: str
    title: str
    class_path: str
    meaning: str
    action_spaces: frozenset[SpaceKind]
    is_on_policy: bool
    max_envs: int
    hyperparameters: dict[str, Hyperparameter] = field(repr=False)
    diagnostics: tuple[str, ...] = ()

    def resolve(self, given: dict[str, Any]) -> tuple[dict[str, Any], list[FieldError]]:
        """Fill in defaults and check every given value.

        Args:
            given: Hyperparameters by name; missing ones take their default.

        Returns:
            Every hyperparameter by name, and the refused fields (empty when all is well).
        """
        errors = [
            FieldError(
                f"hyperparameters.{name}",
                f"{self.title} has no such hyperparameter; "
                f"allowed: {', '.join(self.hyperparameters)}",
            )
            for name in given
            if name not in self.hyperparameters
        ]
        values: dict[str, Any] = {}
        for name, schema in self.hyperparameters.items():
            value = given.get(name, schema.default)
            try:
                values[name] = schema.parse(value) if name in given else value
            except ValueError as error:
                errors.append(FieldError(f"hyperparameters.{name}", str(error)))
        return values, errors


def _widths_in(text: str) -> list[int] | None:
    """Read `64, 64`, `64 64` or `[64, 64]`; None when anything in it is not a width."""
    words = text.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
    longest = len(str(MAX_LAYER_WIDTH))
    is_readable = all(word.isdecimal() and len(word) <= longest for word in words)
    return [int(word) for word in words] if is_readable else None


def _schema(*hyperparameters: Hyperparameter) -> dict[str, Hyperparameter]:
    return {hyperparameter.name: hyperparameter for hyperparameter in hyperparameters}


def _learning_rate(default: float) -> Hyperparameter:
    return Hyperparameter(
        "learning_rate", "float", default, "Step size of the optimizer.",
        low=1e-7, high=1.0, is_schedule=True, is_log=True, is_important=True,
    )  # fmt: skip


_GAMMA = Hyperparameter(
    "gamma", "float", 0.99, "Discount: how much a later reward counts.",
    low=0.0, high=1.0, is_important=True,
)  # fmt: skip
_NET_ARCH = Hyperparameter(
    "net_arch", "layers", None,
    "Widths of the hidden layers of the networks; null keeps the policy's own (64, 64).",
    is_optional=True,
)  # fmt: skip
_ACTIVATION = Hyperparameter(
    "activation_fn", "choice", None,
    "Activation of the hidden layers; null keeps the policy's own.",
    choices=("tanh", "relu", "elu", "gelu", "silu"), is_optional=True,
)  # fmt: skip

ALGORITHMS: dict[str, Algorithm] = {
    "ppo": Algorithm(
        name="ppo",
        title="PPO",
        class_path="stable_baselines3:PPO",
        meaning="Proximal Policy Optimization: robust on-policy learning with clipped updates.",
        action_spaces=frozenset({"discrete", "box", "multi_discrete", "multi_binary"}),
        is_on_policy=True,
        max_envs=256,
        diagnostics=("train/entropy_loss", "train/approx_kl", "train/clip_fraction"),
        hyperparameters=_schema(
            _learning_rate(3e-4),
            Hyperparameter("n_steps", "int", 2048, "Steps of each environment in one rollout.",
                           low=2, high=1_000_000, is_log=True, is_important=True),
            Hyperparameter("batch_size", "int", 64, "Samples in one gradient step.",
                           low=2, high=1_000_000, is_log=True, is_important=True),
            Hyperparameter("n_epochs", "int", 10, "Passes over each rollout.",
                           low=1, high=100, is_important=True),
            _GAMMA,
            Hyperparameter("gae_lambda", "float", 0.95,
                           "Bias-variance trade-off of the advantage estimate (GAE).",
                           low=0.0, high=1.0),
            Hyperparameter("clip_range", "float", 0.2,
                           "How far one update may move the policy's probabilities.",
                           low=0.001, high=10.0, is_schedule=True, is_important=True),
            Hyperparameter("clip_range_vf", "float", None,
                           "The same for the value function; depends on the scale of rewards.",
                           low=0.001, high=1e6, is_schedule=True, is_optional=True),
            Hyperparameter("normalize_advantage", "bool", True,
                           "Whether advantages are normalised in each batch."),
            Hyperparameter("ent_coef", "float", 0.0,
                           "Weight of the entropy bonus: more explores more.",
                           low=0.0, high=10.0, is_log=True, is_important=True),
            Hyperparameter("vf_coef", "float", 0.5, "Weight of the value loss.",
                           low=0.0, high=10.0),
            Hyperparameter("max_grad_norm", "float", 0.5, "Gradients are clipped to this norm.",
                           low=0.001, high=1000.0, is_log=True),
            Hyperparameter("use_sde", "bool", False,
                           "State-dependent exploration, for continuous actions only."),
            Hyperparameter("sde_sample_freq", "int", -1,
                           "Steps between new noise matrices; -1: once a rollout.",
                           low=-1, high=1_000_000),
            Hyperparameter("target_kl", "float", None,
                           "Stop an update early when the policy has moved this far.",
                           low=1e-6, high=10.0, is_optional=True),
            _NET_ARCH,
            _ACTIVATION,
        ),
    ),
    "dqn": Algorithm(
        name="dqn",
        title="DQN",
        class_path="stable_baselines3:DQN",
        meaning="Deep Q-Network: off-policy value learning from a buffer, discrete actions.",
        action_spaces=frozenset({"discrete"}),
        is_on_policy=False,
        max_envs=256,
        diagnostics=("rollout/exploration_rate", "train/loss"),
        hyperparameters=_schema(
            _learning_rate(1e-4),
            Hyperparameter("buffer_size", "int", 1_000_000, "Transitions kept for replay.",
                           low=1, high=100_000_000, is_log=True),
            Hyperparameter("learning_starts", "int", 100,
                           "Steps of pure exploration before learning.",
                           low=0, high=100_000_000),
            Hyperparameter("batch_size", "int", 32, "Transitions in one gradient step.",
                           low=1, high=1_000_000, is_log=True, is_important=True),
            Hyperparameter("tau", "float", 1.0,
                           "Share of the online network copied at each target update.",
                           low=0.0, high=1.0),
            _GAMMA,
            Hyperparameter("train_freq", "int", 4, "Steps between updates.",
                           low=1, high=1_000_000, is_important=True),
            Hyperparameter("gradient_steps", "int", 1,
                           "Gradient steps at each update; -1: as many as steps were taken.",
                           low=-1, high=1_000_000, is_important=True),
            Hyperparameter("target_update_interval", "int", 10_000,
                           "Steps between updates of the target network.",
                           low=1, high=100_000_000, is_log=True),
            Hyperparameter("exploration_fraction", "float", 0.1,
                           "Share of the run over which exploration decays.",
                           low=0.0, high=1.0, is_important=True),
            Hyperparameter("exploration_initial_eps", "float", 1.0,
                           "Share of random actions at the start.", low=0.0, high=1.0),
            Hyperparameter("exploration_final_eps", "float", 0.05,
                           "Share of random actions at the end.",
                           low=0.0, high=1.0, is_important=True),
            Hyperparameter("max_grad_norm", "float", 10.0, "Gradients are clipped to this norm.",
                           low=0.001, high=1000.0, is_log=True),
            _NET_ARCH,
            _ACTIVATION,
        ),
    ),
}  # fmt: skip
