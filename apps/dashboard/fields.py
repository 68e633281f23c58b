"""The field that says what a run normalises, as the forms of new runs and of branches have it."""

from typing import Any

from django import forms

from apps.catalogue.normalizing import what_is_normalized

# What is offered -> keywords of the spec, None for nothing; clips and the like keep their
# defaults, or the preset's or parent's values.
NORMALIZATIONS: dict[str, dict[str, bool] | None] = {
    "both": {"norm_obs": True, "norm_reward": True},
    "observations": {"norm_obs": True, "norm_reward": False},
    "rewards": {"norm_obs": False, "norm_reward": True},
    "nothing": None,
}


def normalize_field() -> forms.ChoiceField:
    """Make the field of what is normalised; `blank_normalization` says what blank stands for."""
    return forms.ChoiceField(
        required=False,
        label="Normalise",
        help_text="Observations and rewards, by running statistics. Returns stay the game's.",
    )


def blank_normalization(field: forms.Field, value: dict[str, Any] | None, source: str) -> None:
    """Offer what can be normalised, blank for what `source` has."""
    assert isinstance(field, forms.ChoiceField)
    said = {what_is_normalized(keywords): name for name, keywords in NORMALIZATIONS.items()}
    blank = ("", f"{said[what_is_normalized(value)]} ({source})")
    field.choices = [blank, *((name, name) for name in NORMALIZATIONS)]


def typed_normalization(cleaned_data: dict[str, Any]) -> dict[str, Any]:
    """Return the spec's field `normalize` if something was chosen for it."""
    chosen = cleaned_data.get("normalize")
    return {"normalize": NORMALIZATIONS[chosen]} if chosen else {}
