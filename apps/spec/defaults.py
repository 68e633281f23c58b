"""What fills in the fields of a spec that are left out: family, run length, preset."""

from collections.abc import Mapping
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.backends import foreign_values
from apps.catalogue.environments.ids import family_of
from apps.catalogue.normalizing import normalization_over
from apps.catalogue.presets.presets import lengths_for, preset_for
from apps.errors import FieldError, InvalidSpec


def apply_family(values: dict[str, Any]) -> None:
    """Fill in the wrappers that a family of environments is always trained with."""
    family = family_of(values["environment"])
    if family is None or "wrappers" in values:
        return
    values["wrappers"] = [*family.wrappers]
    values.setdefault("frame_stack", family.frame_stack)
    kwargs = values.get("environment_kwargs", {})
    if isinstance(kwargs, Mapping):
        values["environment_kwargs"] = {**family.kwargs, **kwargs}


def apply_length(values: dict[str, Any]) -> None:
    """Fill in the steps of a run length, `standard` where neither is given."""
    lengths = lengths_for(values["environment"])
    values.setdefault("total_timesteps", lengths[values.get("length") or "standard"])


def apply_preset(
    values: dict[str, Any], given: Mapping[str, Any], algorithm: Algorithm
) -> dict[str, Any]:
    """Fill in a preset's environments, how they are stepped, and its normalisation.

    Args:
        values: Fields of the spec so far.
        given: Hyperparameters that the user gave; they win.
        algorithm: The algorithm as its backend has it.

    Returns:
        The preset's hyperparameters with those that were given.

    Raises:
        InvalidSpec: The preset is not for that backend.
    """
    if values.get("preset") is None:
        return dict(given)
    preset = preset_for(algorithm.name, values["environment"], values["preset"])
    values.setdefault("n_envs", preset.n_envs)
    own = {name: value for name, value in preset.hyperparameters.items() if name not in given}
    if foreign := foreign_values(algorithm, own):
        message = (
            f"{values['preset']} is not for {algorithm.full_title}, which does not take its "
            f"{', '.join(foreign)}; give values of your own, another preset or backend torch"
        )
        raise InvalidSpec([FieldError("preset", message)])
    # A spec with every hyperparameter was resolved before; an older one knows neither field.
    is_resolved = set(algorithm.hyperparameters) <= set(given)
    normalize = values.get("normalize", None if is_resolved else preset.normalize)
    values["normalize"] = normalization_over(preset.normalize, normalize)
    # Wrappers go around single environments; the preset's other values hold with them as well.
    if not is_resolved and not values.get("wrappers") and not values.get("frame_stack"):
        values.setdefault("vectorization", preset.vectorization)
    return {**own, **given}
