"""Whether an algorithm can act in an environment, by the description of both."""

from collections.abc import Iterable

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.environments.descriptions import EnvironmentDescription, SpaceDescription


def misfit(algorithm: Algorithm, description: EnvironmentDescription) -> str:
    """Say why an algorithm cannot act in an environment; empty when it can."""
    if description.untrainable:
        return f"cannot, and nothing else can: {description.untrainable}"
    action = description.action_space.kind
    observation = description.observation_space.observation_kind
    if action not in algorithm.action_spaces:
        return f"acts in {_words(algorithm.action_spaces)} only, and actions here are {action}"
    if observation not in algorithm.observations:
        return f"reads {_words(algorithm.observations)} only, and observations are {observation}"
    if algorithm.needs_action_masks and not description.has_action_masks:
        return "needs an environment with action_masks()"
    if algorithm.backend == "sbx" and not _is_plain(description.observation_space):
        return (
            "feeds observations to its networks as they are, categories as bare numbers; use "
            "backend torch, which encodes them"
        )
    seen = description.observation_space
    if algorithm.is_recurrent and "multi_discrete" in {
        part.kind for part in (seen, *seen.parts.values())
    }:
        return "reads no MultiDiscrete: its memory does not take their number of inputs"
    if algorithm.has_replay_buffer and _is_fixed(description.action_space):
        return "scales actions by their bounds, and a number here has the same low and high"
    return ""


def _is_plain(space: SpaceDescription) -> bool:
    """Whether observations are numbers as they are, in no dictionary or in one of vectors."""
    if space.parts:
        return all(part.kind == "box" and len(part.shape) == 1 for part in space.parts.values())
    return space.kind in {"box", "multi_binary"}


def _is_fixed(space: SpaceDescription) -> bool:
    return space.kind == "box" and any(low == high for low, high in space.bounds())


def _words(kinds: Iterable[str]) -> str:
    return " or ".join(sorted(kinds))
