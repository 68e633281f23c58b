"""What the forms of several pages have: their fields, and how a refusal stands beside one.

They read what was typed; what is allowed is decided by the spec, not here. Numbers are therefore
plain text fields with a numeric widget: a refusal comes from one place, in one wording, whichever
face was used.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from django import forms

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.schema import Hyperparameter
from apps.catalogue.normalizing import what_is_normalized
from apps.errors import InvalidSpec
from apps.spec.environment import MAX_ID_LENGTH
from apps.spec.schema import Field
from apps.text.names import LIMITS

DEFAULT_PRESET = "fast"
HYPERPARAMETER_PREFIX = "hyperparameters."

# What is offered -> keywords of the spec, None for nothing; clips and the like keep their
# defaults, or the preset's or parent's values.
NORMALIZATIONS: dict[str, dict[str, bool] | None] = {
    "both": {"norm_obs": True, "norm_reward": True},
    "observations": {"norm_obs": True, "norm_reward": False},
    "rewards": {"norm_obs": False, "norm_reward": True},
    "nothing": None,
}


class SpecForm(forms.Form):
    """Fields of a spec, those in `main_fields` first, and one for each hyperparameter."""

    main_fields: Sequence[str] = ()

    def add_hyperparameter(self, schema: Hyperparameter, value: Any, source: str) -> None:
        """Add the field of one hyperparameter; blank stands for the value that `source` has."""
        field = _hyperparameter_field(schema, value, source)
        self.fields[HYPERPARAMETER_PREFIX + schema.name] = field

    @property
    def main(self) -> list[forms.BoundField]:
        """The fields beside the hyperparameters, in the order they are shown."""
        return [self[name] for name in self.main_fields]

    @property
    def hyperparameters(self) -> list[forms.BoundField]:
        """The fields of the hyperparameters."""
        return [self[name] for name in self.fields if name.startswith(HYPERPARAMETER_PREFIX)]

    def typed_values(self) -> dict[str, Any]:
        """Return what was filled in of the hyperparameters and of what is normalised."""
        chosen = self.cleaned_data.get("normalize")
        return {
            **({"normalize": NORMALIZATIONS[chosen]} if chosen else {}),
            "hyperparameters": {
                name.removeprefix(HYPERPARAMETER_PREFIX): _null_or(value)
                for name, value in self.cleaned_data.items()
                if name.startswith(HYPERPARAMETER_PREFIX) and value
            },
        }


def _null_or(text: str) -> str | None:
    return None if text.lower() in {"null", "none"} else text


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    return f"{value:g}" if isinstance(value, float) else str(value)


def _hyperparameter_field(schema: Hyperparameter, value: Any, source: str) -> forms.Field:
    blank = f"{_as_text(value)} ({source})"
    options = {"bool": ("true", "false"), "choice": schema.choices}.get(schema.kind)
    label, help_text = schema.name, schema.meaning
    if options:
        choices = [("", blank), *((option, option) for option in options)]
        return forms.ChoiceField(required=False, label=label, help_text=help_text, choices=choices)
    widget = forms.TextInput(
        attrs={"placeholder": blank, "title": schema.allowed(), "autocomplete": "off"}
    )
    return forms.CharField(required=False, label=label, help_text=help_text, widget=widget)


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


def typed_fields(cleaned_data: dict[str, Any], rows: Iterable[Field]) -> dict[str, Any]:
    """Return the fields of a spec that were filled in, but for what is normalised."""
    given = {row.name: _typed(row, cleaned_data.get(row.name)) for row in rows}
    return {name: value for name, value in given.items() if value is not None}


def _typed(row: Field, value: Any) -> Any:
    if row.name == "normalize" or not value:
        return None
    if row.kind == "object":
        return {}
    return value if row.kind != "bool" else not row.default


def number_field(label: str, bounds: tuple[int, int], help_text: str = "") -> forms.CharField:
    """Make the field of a whole number; it refuses nothing itself."""
    widget = forms.NumberInput(attrs={"min": bounds[0], "max": bounds[1], "step": 1})
    return forms.CharField(label=label, required=False, widget=widget, help_text=help_text)


def name_field(kind: str, help_text: str = "", suggestions: str = "") -> forms.CharField:
    """Make the field of a name; it refuses nothing itself.

    Args:
        kind: A key of `names.LIMITS`.
        help_text: What to say under it.
        suggestions: Id of a list of names to choose from.
    """
    attrs = {"maxlength": LIMITS[kind], "autocomplete": "off"}
    widget = forms.TextInput(attrs=attrs | ({"list": suggestions} if suggestions else {}))
    field = forms.CharField(required=False, strip=False, widget=widget, help_text=help_text)
    field.validators = []  # Django's own refuses NUL, in words of its own.
    return field


def blank_normalization(field: forms.Field, value: dict[str, Any] | None, source: str) -> None:
    """Offer what can be normalised, blank for what `source` has."""
    said = {what_is_normalized(keywords): name for name, keywords in NORMALIZATIONS.items()}
    blank = ("", f"{said[what_is_normalized(value)]} ({source})")
    offer(field, [blank, *((name, name) for name in NORMALIZATIONS)])


def algorithm_choices() -> list[tuple[str, str]]:
    """Return the algorithms as choices of a select."""
    return [(algorithm.name, algorithm.title) for algorithm in ALGORITHMS.values()]


def offer(field: forms.Field, choices: Sequence[tuple[str, str]]) -> None:
    """Give a select its choices, where they depend on what the form is of."""
    assert isinstance(field, forms.ChoiceField)
    field.choices = choices


def show_refusals(form: forms.Form, refused: InvalidSpec) -> None:
    """Put each refusal beside its field, those of no field that is seen at the form's top."""
    for error in refused.errors:
        if error.field in form.fields and not form[error.field].is_hidden:
            form.add_error(error.field, error.message)
        else:
            form.add_error(None, f"{error.field}: {error.message}")
