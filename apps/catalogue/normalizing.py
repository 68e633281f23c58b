"""What a run may say of normalising: the keywords of VecNormalize with bounds.

Must stay light: specs, forms and the API validate with it (see `algorithms.schema`).
"""

from collections.abc import Mapping
from typing import Any

from apps.catalogue.algorithms.shared import by_name, flag, number
from apps.errors import FieldError
from apps.text.suggestions import did_you_mean
from apps.words import shown

NORMALIZATION = by_name(
    flag("norm_obs", True, "Whether observations are: less their mean, by their deviation."),
    flag(
        "norm_reward",
        True,
        "Whether rewards are, in training: by the deviation of the discounted return.",
    ),
    number("clip_obs", 10.0, 0.01, 1e6, "Normalised observations are clipped to this."),
    number("clip_reward", 10.0, 0.01, 1e6, "Normalised rewards are clipped to this."),
    number("gamma", None, 0.0, 1.0, "Discount of that return; null takes the algorithm's."),
    number("epsilon", 1e-8, 1e-12, 1.0, "Added to a variance before anything is divided by it."),
)


def resolve_normalization(given: Any) -> tuple[dict[str, Any] | None, list[FieldError]]:
    """Fill in defaults and check every given value.

    Args:
        given: Keywords by name; true stands for none of them, false and None for no normalising.

    Returns:
        Every keyword by name, None for no normalising; and the refused fields.
    """
    if given is None or given is False:
        return None, []
    given = {} if given is True else given
    if not isinstance(given, Mapping):
        return None, [
            FieldError(
                "normalize", f"{shown(given)} is not true, false or an object of values by name"
            )
        ]
    errors = [
        FieldError(
            f"normalize.{name}",
            f"unknown; allowed: {', '.join(NORMALIZATION)}{did_you_mean(name, NORMALIZATION)}",
        )
        for name in given
        if name not in NORMALIZATION
    ]
    values: dict[str, Any] = {}
    for name, schema in NORMALIZATION.items():
        try:
            values[name] = schema.parse(given[name]) if name in given else schema.default
        except ValueError as error:
            errors.append(FieldError(f"normalize.{name}", str(error)))
    if not errors and not (values["norm_obs"] or values["norm_reward"]):
        errors.append(
            FieldError(
                "normalize",
                "norm_obs and norm_reward are both false, so nothing is left to normalise; "
                "write false, or let one of them be true",
            )
        )
    return values, errors


def normalization_over(base: Mapping[str, Any] | None, given: Any) -> Any:
    """Return what is given, single keywords over those that a preset or a parent has."""
    return {**base, **given} if base is not None and isinstance(given, Mapping) else given


def what_is_normalized(normalize: Mapping[str, Any] | None) -> str:
    """Say in words what a run normalises; keywords that are missing have their defaults."""
    if normalize is None:
        return "nothing"
    parts = {"observations": "norm_obs", "rewards": "norm_reward"}
    return " and ".join(word for word, name in parts.items() if normalize.get(name, True))
