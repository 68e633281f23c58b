"""What is wrong between hyperparameters that are each fine alone."""

from collections.abc import Iterator
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm


def conflicts(
    algorithm: Algorithm, values: dict[str, Any], n_envs: int
) -> Iterator[tuple[str, str]]:
    """Yield the name of each hyperparameter that contradicts another, and why.

    Args:
        algorithm: The algorithm.
        values: Every hyperparameter of it, each within its bounds.
        n_envs: Parallel environments.
    """
    samples = n_envs * values.get("n_steps", 2)
    batch_size = values.get("batch_size", 1)
    if algorithm.is_on_policy and batch_size > samples:
        yield (
            "batch_size",
            (
                f"{batch_size} is more than one rollout holds: n_steps x n_envs is {samples}; "
                f"lower batch_size to at most {samples} or raise n_steps"
            ),
        )
    if values.get("train_freq") == "episode" and n_envs > 1:
        yield (
            "train_freq",
            (
                f"episode is not allowed with {n_envs} parallel environments; "
                "use one, or a number of steps"
            ),
        )
    if values.get("critic_net_arch") and not values["net_arch"]:
        yield "critic_net_arch", "is not allowed alone; give net_arch, for the policy, as well"
    if values.get("policy") == "linear" and (values["net_arch"] or values["activation_fn"]):
        yield "policy", "linear has no hidden layers; use mlp or leave out net_arch, activation_fn"
    yield from _less_than(values, "top_quantiles_to_drop_per_net", "n_quantiles", is_strict=True)
    yield from _less_than(values, "n_top", "n_delta", is_strict=False)
    if values.get("shared_lstm") and values["enable_critic_lstm"]:
        yield (
            "shared_lstm",
            (
                "true is not allowed while the critic has an LSTM of its own; "
                "set enable_critic_lstm to false"
            ),
        )
    if algorithm.backend == "sbx":
        yield from _sbx_conflicts(algorithm, values)


def _sbx_conflicts(algorithm: Algorithm, values: dict[str, Any]) -> Iterator[tuple[str, str]]:
    widths = values["net_arch"]
    if algorithm.name == "dqn" and widths and (len(widths) != 2 or len(set(widths)) != 1):
        yield (
            "net_arch",
            f"{widths} is not allowed; {algorithm.full_title} has two hidden layers of one width",
        )
    if values.get("train_freq") == "episode" and values["gradient_steps"] == -1:
        yield (
            "gradient_steps",
            (
                "-1 is not allowed with train_freq episode: JAX would compile anew for each "
                "length of an episode; give a number"
            ),
        )


def _less_than(
    values: dict[str, Any], name: str, limit: str, is_strict: bool
) -> Iterator[tuple[str, str]]:
    value = values.get(name)
    if value is not None and (value > values[limit] or (is_strict and value == values[limit])):
        words = "less than" if is_strict else "at most"
        yield name, f"{value} is not allowed; it must be {words} {limit}, which is {values[limit]}"
