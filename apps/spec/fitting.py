"""Whether a spec fits the environment that it names: one judge, whoever asks.

Pages and lists, verbs before the queue, the check before a run and the trainer all ask here, each
with the best description it has: of a card, of a process that constructed the environment, of the
living one. Rules between a spec's own fields are `conflicts`; whether an environment can be made
at all, only making it tells.
"""

from collections.abc import Callable, Iterator
from typing import Final

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.backends import BACKENDS, DEFAULT_BACKEND
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.descriptions import EnvironmentDescription, SpaceDescription
from apps.errors import FieldError, InvalidSpec
from apps.spec.run import RunSpec

# What observations with a goal are made of.
GOAL_PARTS = frozenset({"observation", "achieved_goal", "desired_goal"})


def check_fit(spec: RunSpec, description: EnvironmentDescription) -> None:
    """Refuse a spec that does not fit its environment.

    Raises:
        InvalidSpec: Lists every refused field.
    """
    if errors := refusals(spec, description):
        raise InvalidSpec(errors)


def refusals(spec: RunSpec, description: EnvironmentDescription) -> list[FieldError]:
    """Return all that an environment refuses of a spec, in the order of `JUDGES`.

    Where nothing can be trained, nothing else has a meaning and that is said alone.

    Args:
        spec: A spec that is valid in itself.
        description: What its environment says of itself.
    """
    if description.untrainable:
        words = f"nothing can be trained in {spec.environment}: {description.untrainable}"
        return [FieldError("environment", words)]
    judged = ((name, judge(spec, description)) for name, judge in JUDGES.items())
    return [FieldError(name, words) for name, words in judged if words]


def misfits_of(description: EnvironmentDescription | None) -> dict[str, str]:
    """Say of each algorithm why it cannot act in an environment; empty when it can.

    Args:
        description: What the environment says of itself; None, which nobody can judge, gives {}.
    """
    if description is None:
        return {}
    return {name: misfit(each, description) for name, each in ALGORITHMS.items()}


def misfit(algorithm: Algorithm, description: EnvironmentDescription) -> str:
    """Say every reason why an algorithm cannot act in an environment; empty when it can."""
    if description.untrainable:
        return f"cannot, and nothing else can: {description.untrainable}"
    return "; ".join(_reasons(algorithm, description))


def _reasons(algorithm: Algorithm, description: EnvironmentDescription) -> Iterator[str]:
    action, seen = description.action_space, description.observation_space
    if action.kind not in algorithm.action_spaces:
        able = _either(algorithm.action_spaces)
        yield f"acts in {able} only, and actions here are {action.kind}"
    elif algorithm.has_replay_buffer and _is_fixed(action):
        yield "scales actions by their bounds, and a number here has the same low and high"
    if seen.observation_kind not in algorithm.observations:
        able = _either(algorithm.observations)
        yield f"reads {able} only, and observations are {seen.observation_kind}"
    elif algorithm.backend == "sbx" and not _is_plain(seen):
        yield (
            "feeds observations to its networks as they are, categories as bare numbers; use "
            "backend torch, which encodes them"
        )
    elif algorithm.is_recurrent and any(part.kind == "multi_discrete" for part in _parts(seen)):
        yield "reads no MultiDiscrete: its memory does not take their number of inputs"
    if algorithm.needs_action_masks and not description.has_action_masks:
        yield "needs an environment with action_masks(), or a wrapper that has it"


def _acting(spec: RunSpec, description: EnvironmentDescription) -> str:
    reason = misfit(spec.schema, description)
    if not reason:
        return ""
    others = BACKENDS[spec.backend].algorithms.values()
    able = [other.name for other in others if not misfit(other, description)]
    nobody = "none here" if spec.backend == DEFAULT_BACKEND else f"none of backend {spec.backend}"
    return (
        f"{spec.schema.full_title} cannot act in {spec.environment}: it {reason}; algorithms "
        f"that can: {', '.join(able) or nobody}"
    )


def _exploring(spec: RunSpec, description: EnvironmentDescription) -> str:
    kind = description.action_space.kind
    if not spec.hyperparameters.get("use_sde") or kind == "box":
        return ""
    return (
        f"true is not allowed with a {kind} action space; state-dependent exploration needs "
        "continuous actions"
    )


def _hindsight(spec: RunSpec, description: EnvironmentDescription) -> str:
    if not spec.hyperparameters.get("her"):
        return ""
    parts = description.observation_space.parts
    if not parts.keys() >= GOAL_PARTS:
        shown = ", ".join(sorted(parts)) or "no dictionary"
        return (
            f"true is not allowed in {spec.environment}: hindsight replay needs observations that "
            f"are a dictionary of {', '.join(sorted(GOAL_PARTS))}, and here they are {shown}; set "
            "it to false"
        )
    if not description.has_goal_reward:
        return (
            f"true is not allowed in {spec.environment}: it has no compute_reward(achieved_goal, "
            "desired_goal, info), which says what another goal would have paid; set it to false"
        )
    return ""


def _normalizing(spec: RunSpec, description: EnvironmentDescription) -> str:
    seen = description.observation_space
    # Of a dictionary it suffices that one part can be normalised.
    is_asked = spec.normalize is not None and spec.normalize["norm_obs"]
    if not is_asked or any(part.is_on_a_scale for part in _parts(seen)):
        return ""
    if seen.parts:
        why = f"none of {', '.join(seen.parts)} is a vector of numbers"
    elif seen.is_image:
        why = "they are pictures, which the policy scales itself"
    else:
        why = f"they are {seen.kind} and have no mean"
    return (
        f"the observations of {spec.environment} cannot be normalised: {why}; set norm_obs to "
        "false, which normalises rewards alone"
    )


def _parts(space: SpaceDescription) -> list[SpaceDescription]:
    """Return the spaces of a dictionary, or the one space that is none."""
    return [*space.parts.values()] or [space]


def _is_plain(space: SpaceDescription) -> bool:
    """Whether observations are numbers as they are, in no dictionary or in one of vectors."""
    if space.parts:
        return all(part.kind == "box" and len(part.shape) == 1 for part in space.parts.values())
    return space.kind in {"box", "multi_binary"}


def _is_fixed(space: SpaceDescription) -> bool:
    return space.kind == "box" and any(low == high for low, high in space.bounds())


def _either(kinds: frozenset[str]) -> str:
    return " or ".join(sorted(kinds))


# Who judges what of a spec, in the order in which refusals are told; no words: it fits.
JUDGES: Final[dict[str, Callable[[RunSpec, EnvironmentDescription], str]]] = {
    "algorithm": _acting,
    "hyperparameters.use_sde": _exploring,
    "hyperparameters.her": _hindsight,
    "normalize": _normalizing,
}
