"""What the environment of a spec says of itself, without its code in this process."""

from typing import Any

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.descriptions import EnvironmentDescription, known_descriptions
from apps.catalogue.environments.families import FAMILIES
from apps.catalogue.environments.ids import is_installed
from apps.errors import FieldError, InvalidSpec
from apps.jobs import trainers
from apps.spec.run import RunSpec


def description_of(spec: RunSpec) -> EnvironmentDescription:
    """Return what a spec's environment says of itself, from its card where that holds.

    Raises:
        InvalidSpec: It has no card, and cannot be made.
    """
    card = ENVIRONMENTS.get(spec.environment)
    if card and is_installed(card.family) and is_as_its_card_says(spec):
        return known_descriptions()[card.id]
    return EnvironmentDescription.from_dict(describe(spec))


def describe(spec: RunSpec) -> dict[str, Any]:
    """Construct a spec's environment in a process of its own and return its description.

    Raises:
        InvalidSpec: It cannot be made.
    """
    try:
        return trainers.describe(spec)
    except trainers.TrainerFailed as error:
        raise InvalidSpec([FieldError("environment", str(error))]) from error


def is_as_its_card_says(spec: RunSpec) -> bool:
    """Whether a spec takes a known environment as its family does, so that its card holds."""
    family = FAMILIES[ENVIRONMENTS[spec.environment].family]
    own = (spec.environment_kwargs, spec.wrappers, spec.frame_stack)
    return own == (family.kwargs, [*family.wrappers], family.frame_stack)
