"""Fields of a spec as the forms of new runs and of branches have them, each made of its row."""

from collections.abc import Iterable, Mapping
from typing import Any

from django import forms

from apps.catalogue.normalizing import what_is_normalized
from apps.spec.environment import MAX_ID_LENGTH
from apps.spec.schema import Field

# What is offered -> keywords of the spec, None for nothing; clips and the like keep their
# defaults, or the preset's or parent's values.
NORMALIZATIONS: dict[str, dict[str, bool] | None] = {
    "both": {"norm_obs": True, "norm_reward": True},
    "observations": {"norm_obs": True, "norm_reward": False},
    "rewards": {"norm_obs": False, "norm_reward": True},
    "nothing": None,
}


def field_of(row: Field) -> forms.Field:
    """Make the field of a form for a field of a spec; it refuses nothing that the spec judges."""
    said: dict[str, Any] = {"label": row.title, "help_text": row.help_text, "required": False}
    if row.name == "normalize":  # `blank_normalization` says what blank stands for.
        return forms.ChoiceField(**said)
    if row.kind == "int":
        return number_field(row.title, row.bounds, row.help_text)
    if row.kind == "choice":
        blank = [("", row.blank)] if row.blank else []
        return forms.ChoiceField(choices=[*blank, *row.choices.items()], **said)
    if row.kind == "bool" and row.default:
        return forms.ChoiceField(choices=[("", "yes"), ("no", "no")], **said)
    if row.kind in {"bool", "object"}:
        return forms.BooleanField(**said)
    return text_field(**said)


def with_beside(rows: Iterable[Field], beside: Mapping[str, str]) -> list[str]:
    """Return the names of rows, after some of them a form's own field that goes with it."""
    names = ((row.name, beside.get(row.name)) for row in rows)
    return [name for pair in names for name in pair if name]


def text_field(**options: Any) -> forms.CharField:
    """Make the field of an environment's id."""
    attrs = {"list": "known-environments", "autocomplete": "off"}
    return forms.CharField(max_length=MAX_ID_LENGTH, widget=forms.TextInput(attrs), **options)


def number_field(label: str, bounds: tuple[int, int], help_text: str = "") -> forms.CharField:
    """Make the field of a whole number; it refuses nothing itself."""
    widget = forms.NumberInput(attrs={"min": bounds[0], "max": bounds[1], "step": 1})
    return forms.CharField(label=label, required=False, widget=widget, help_text=help_text)


def typed_fields(cleaned_data: dict[str, Any], rows: Iterable[Field]) -> dict[str, Any]:
    """Return fields of a spec that were filled in; blank ones are left out."""
    given = {row.name: _typed(row, cleaned_data.get(row.name)) for row in rows}
    return {name: value for name, value in given.items() if value is not None} | (
        typed_normalization(cleaned_data)
    )


def _typed(row: Field, value: Any) -> Any:
    if row.name == "normalize" or not value:
        return None
    if row.kind == "object":
        return {}
    return value if row.kind != "bool" else not row.default


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
