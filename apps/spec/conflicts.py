"""What is wrong between fields of a spec that are each fine alone: one row a contradiction."""

from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.backends import BACKENDS
from apps.errors import FieldError

Values = Mapping[str, Any]
Found = Iterator[tuple[str, str]]


def conflicts(
    algorithm: Algorithm, values: Values, unread: Collection[str]
) -> Iterator[FieldError]:
    """Yield each contradiction, the field that is told of it first.

    Args:
        algorithm: The algorithm.
        values: Every field of the spec, each within its bounds.
        unread: Fields, hyperparameters as `hyperparameters.NAME`, whose values could not be read
            and are stand-ins here: what they are part of is not judged.
    """
    for needs, check in _CONFLICTS:
        if not {*needs} & {*unread}:
            for name, message in check(algorithm, values):
                yield FieldError(name, message)


def _batch_in_rollout(algorithm: Algorithm, values: Values) -> Found:
    given, n_envs = values["hyperparameters"], values["n_envs"]
    samples = n_envs * given.get("n_steps", 2)
    batch_size = given.get("batch_size", 1)
    if algorithm.is_on_policy and batch_size > samples:
        yield (
            "hyperparameters.batch_size",
            f"{batch_size} is more than one rollout holds: n_steps x n_envs is {samples}; "
            f"lower batch_size to at most {samples} or raise n_steps",
        )


def _whole_episodes_alone(_: Algorithm, values: Values) -> Found:
    if values["hyperparameters"].get("train_freq") == "episode" and values["n_envs"] > 1:
        yield (
            "hyperparameters.train_freq",
            f"episode is not allowed with {values['n_envs']} parallel environments; "
            "use one, or a number of steps",
        )


def _critic_beside_actor(_: Algorithm, values: Values) -> Found:
    given = values["hyperparameters"]
    if given.get("critic_net_arch") and not given["net_arch"]:
        words = "is not allowed alone; give net_arch, for the policy, as well"
        yield "hyperparameters.critic_net_arch", words


def _linear_without_layers(_: Algorithm, values: Values) -> Found:
    given = values["hyperparameters"]
    if given.get("policy") == "linear" and (given["net_arch"] or given["activation_fn"]):
        words = "linear has no hidden layers; use mlp or leave out net_arch, activation_fn"
        yield "hyperparameters.policy", words


def _fewer_dropped_than_there_are(_: Algorithm, values: Values) -> Found:
    yield from _less_than(values, "top_quantiles_to_drop_per_net", "n_quantiles", is_strict=True)


def _no_more_than_were_tried(_: Algorithm, values: Values) -> Found:
    yield from _less_than(values, "n_top", "n_delta", is_strict=False)


def _less_than(values: Values, name: str, limit: str, is_strict: bool) -> Found:
    given = values["hyperparameters"]
    value = given.get(name)
    if value is not None and (value > given[limit] or (is_strict and value == given[limit])):
        words = "less than" if is_strict else "at most"
        allowed = f"it must be {words} {limit}, which is {given[limit]}"
        yield f"hyperparameters.{name}", f"{value} is not allowed; {allowed}"


def _one_memory_for_critics(_: Algorithm, values: Values) -> Found:
    given = values["hyperparameters"]
    if given.get("shared_lstm") and given["enable_critic_lstm"]:
        yield (
            "hyperparameters.shared_lstm",
            "true is not allowed while the critic has an LSTM of its own; "
            "set enable_critic_lstm to false",
        )


def _two_layers_of_one_width(algorithm: Algorithm, values: Values) -> Found:
    widths = values["hyperparameters"].get("net_arch")
    is_ported = algorithm.backend == "sbx" and algorithm.name == "dqn"
    if is_ported and widths and (len(widths) != 2 or len(set(widths)) != 1):
        yield (
            "hyperparameters.net_arch",
            f"{widths} is not allowed; {algorithm.full_title} has two hidden layers of one width",
        )


def _compiled_once(algorithm: Algorithm, values: Values) -> Found:
    given = values["hyperparameters"]
    is_by_episode = given.get("train_freq") == "episode" and given["gradient_steps"] == -1
    if algorithm.backend == "sbx" and is_by_episode:
        yield (
            "hyperparameters.gradient_steps",
            "-1 is not allowed with train_freq episode: JAX would compile anew for each "
            "length of an episode; give a number",
        )


def _so_many_environments(algorithm: Algorithm, values: Values) -> Found:
    if values["n_envs"] > algorithm.max_envs:
        allowed = f"{algorithm.title} takes at most {algorithm.max_envs}"
        yield "n_envs", f"{values['n_envs']} is not allowed; {allowed}"


def _device_of_backend(_: Algorithm, values: Values) -> Found:
    for error in BACKENDS[values["backend"]].refusals(values["device"], ""):
        yield error.field, error.message


def _weights_of_backend(_: Algorithm, values: Values) -> Found:
    for error in BACKENDS[values["backend"]].refusals("auto", values["weights"]):
        yield error.field, error.message


def _one_of_a_stack(_: Algorithm, values: Values) -> Found:
    if values["frame_stack"] == 1:
        yield "frame_stack", "1 is not allowed; it must be 0 (none) or from 2 to 16"


def _one_frequency_of_evaluations(_: Algorithm, values: Values) -> Found:
    if values["milestones"] and values["eval_freq"]:
        yield (
            "milestones",
            f"true is not allowed with eval_freq {values['eval_freq']}; milestones are "
            "evaluated at each tenth of the run: leave one of them out",
        )


def _of(*names: str) -> tuple[str, ...]:
    return ("algorithm", *(f"hyperparameters.{name}" for name in names))


# Each contradiction, with all that it takes to judge it.
_CONFLICTS: tuple[tuple[tuple[str, ...], Callable[[Algorithm, Values], Found]], ...] = (
    ((*_of("batch_size", "n_steps"), "n_envs"), _batch_in_rollout),
    ((*_of("train_freq"), "n_envs"), _whole_episodes_alone),
    (_of("critic_net_arch", "net_arch"), _critic_beside_actor),
    (_of("policy", "net_arch", "activation_fn"), _linear_without_layers),
    (_of("top_quantiles_to_drop_per_net", "n_quantiles"), _fewer_dropped_than_there_are),
    (_of("n_top", "n_delta"), _no_more_than_were_tried),
    (_of("shared_lstm", "enable_critic_lstm"), _one_memory_for_critics),
    (_of("net_arch"), _two_layers_of_one_width),
    (_of("train_freq", "gradient_steps"), _compiled_once),
    (("algorithm", "n_envs"), _so_many_environments),
    (("backend", "device"), _device_of_backend),
    (("backend", "weights"), _weights_of_backend),
    (("frame_stack",), _one_of_a_stack),
    (("milestones", "eval_freq"), _one_frequency_of_evaluations),
)
