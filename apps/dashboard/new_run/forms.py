"""Forms: they read what was typed; what is allowed is decided by the spec, not here.

Numbers are therefore plain text fields with a numeric widget: a refusal comes from one place, in
one wording, whichever face was used.
"""

from collections.abc import Mapping
from typing import Any

from django import forms

from apps.catalogue.algorithms.backends import BACKENDS, DEFAULT_BACKEND, algorithm_of
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.algorithms.schema import Hyperparameter
from apps.catalogue.environments.cards import EnvironmentCard
from apps.catalogue.presets.presets import LENGTH_TITLES, PRESET_TITLES, lengths_for, preset_for
from apps.dashboard.fields import (
    blank_normalization,
    field_of,
    number_field,
    text_field,
    typed_fields,
    with_beside,
)
from apps.errors import InvalidSpec, UnknownEnvironment
from apps.experiments.models import Experiment, Run
from apps.experiments.turns import PRIORITY_BOUNDS
from apps.jobs.verbs.environments import cards_for, profile_of, profiles
from apps.spec.evaluation import EVALUATION_BOUNDS, default_evaluation_seed
from apps.spec.fields import DEFAULT_ALGORITHM, DEFAULT_ENVIRONMENT, DEVICES, FIELDS
from apps.spec.seeds import SEEDS_BOUNDS
from apps.text.names import LIMITS

HYPERPARAMETER_PREFIX = "hyperparameters."
DEFAULT_PRESET = "fast"
# What a new form begins with.
INITIAL = {
    "environment": DEFAULT_ENVIRONMENT,
    "preset": DEFAULT_PRESET,
    "length": "standard",
    "seed": FIELDS["seed"].default,
}
MAIN = [row for row in FIELDS.values() if row.place == "main"]
MORE = [row for row in FIELDS.values() if row.place == "more"]


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


def algorithm_choices() -> list[tuple[str, str]]:
    """Return the algorithms as choices of a select."""
    return [(algorithm.name, algorithm.title) for algorithm in ALGORITHMS.values()]


def fitting_choices(environment: str) -> list[tuple[str, str]]:
    """Return the algorithms that can act in an environment; all where nobody knows its spaces."""
    try:
        fitting = profile_of(environment).algorithms
    except UnknownEnvironment:
        fitting = []
    return [one for one in algorithm_choices() if not fitting or one[0] in fitting]


def backend_choices(algorithm: str) -> list[tuple[str, str]]:
    """Return the backends that have an algorithm as choices of a select."""
    return [
        (name, f"{backend.title}, not installed" if backend.missing() else backend.title)
        for name, backend in BACKENDS.items()
        if algorithm in backend.algorithms
    ]


def length_choices(environment: str) -> list[tuple[str, str]]:
    """Return the run lengths of an environment with their steps."""
    steps = lengths_for(environment)
    return [(name, f"{title} · {steps[name]:,} steps") for name, title in LENGTH_TITLES.items()]


class RunForm(forms.Form):
    """A new run. The fields of its hyperparameters come from the algorithm's schema."""

    algorithm = forms.CharField(widget=forms.HiddenInput)
    seeds = number_field(
        "Runs", SEEDS_BOUNDS["seeds"], "One for this seed and each that follows; blank: one."
    )
    name = name_field("run", "Blank: made for you.")
    experiment = name_field("experiment", "An existing one or a new name.", "known-experiments")
    priority = number_field("Priority", PRIORITY_BOUNDS, "The highest leaves the queue first.")
    init = forms.CharField(
        label="A run's checkpoint",
        required=False,
        widget=forms.TextInput(attrs={"autocomplete": "off", "placeholder": "RUN@best"}),
        help_text="A run's id or name, with @best, @last or @STEP.",
    )
    file = forms.FileField(
        label="A model file",
        required=False,
        widget=forms.FileInput(attrs={"accept": ".zip"}),
        help_text="A zip that Stable-Baselines3 saved. After a refusal, choose it again.",
    )

    main_fields = (*with_beside(MAIN, {"seed": "seeds"}), "name", "experiment")
    schedule_fields = (*(row.name for row in MORE), "priority")
    start_fields = ("init", "file")

    def __init__(self, data: Any = None, **options: Any) -> None:
        super().__init__(data, **options)
        self.fields |= {row.name: field_of(row) for row in (*MAIN, *MORE)}
        self.fields["environment"].required = True
        for name, value in INITIAL.items():
            self.fields[name].initial = value
        given = self.data if self.is_bound else self.initial
        algorithm = ALGORITHMS.get(given.get("algorithm", ""), ALGORITHMS[DEFAULT_ALGORITHM])
        self.chosen = algorithm_of(given) or algorithm
        self.initial["algorithm"] = self.chosen.name
        backend = self.fields["backend"]
        assert isinstance(backend, forms.ChoiceField)
        backend.choices = backend_choices(self.chosen.name)
        environment = given.get("environment") or DEFAULT_ENVIRONMENT
        length = self.fields["length"]
        assert isinstance(length, forms.ChoiceField)
        length.choices = length_choices(environment)
        preset = given.get("preset", DEFAULT_PRESET)
        from_preset = (
            preset_for(self.chosen.name, environment, preset) if preset in PRESET_TITLES else None
        )
        if from_preset:
            self.fields["n_envs"].widget.attrs["placeholder"] = from_preset.n_envs
        blank_normalization(
            self.fields["normalize"],
            from_preset.normalize if from_preset else None,
            "preset" if from_preset else "default",
        )
        self.preset_source = from_preset.source if from_preset else ""
        preset_values = from_preset.hyperparameters if from_preset else {}
        for name, schema in self.chosen.hyperparameters.items():
            source = "preset" if name in preset_values else "default"
            blank = preset_values.get(name, schema.default)
            self.fields[HYPERPARAMETER_PREFIX + name] = hyperparameter_field(schema, blank, source)

    @property
    def schedule(self) -> list[forms.BoundField]:
        """The fields about evaluations, checkpoints, how to compute and the queue."""
        return [self[name] for name in self.schedule_fields]

    @property
    def main(self) -> list[forms.BoundField]:
        """The fields that every run has, in the order they are shown."""
        return [self[name] for name in self.main_fields]

    @property
    def hyperparameters(self) -> list[forms.BoundField]:
        """The fields of the algorithm's hyperparameters."""
        return [self[name] for name in self.fields if name.startswith(HYPERPARAMETER_PREFIX)]

    @property
    def start(self) -> list[forms.BoundField]:
        """The fields about the weights to start from."""
        return [self[name] for name in self.start_fields]

    @property
    def has_start(self) -> bool:
        """Whether a field about the weights to start from is filled in or refused."""
        return any(field.errors or field.value() for field in self.start)

    @property
    def has_details(self) -> bool:
        """Whether something that is folded away is filled in or refused."""
        return any(field.errors or field.value() for field in self.hyperparameters)

    @property
    def has_schedule(self) -> bool:
        """Whether one of the fields of the schedule is filled in or refused."""
        blank = {None, "", False, DEVICES[0], DEFAULT_BACKEND}
        return any(field.errors or field.value() not in blank for field in self.schedule)

    @property
    def cards(self) -> list[EnvironmentCard]:
        """The environments that the chosen algorithm can act in."""
        return cards_for(self.chosen)

    @property
    def experiments(self) -> list[str]:
        """Names of recent experiments."""
        return list(Experiment.objects.values_list("name", flat=True)[:50])

    def spec_data(self) -> dict[str, Any]:
        """Return what was filled in, as the spec wants it; blank fields are left out."""
        data = typed_fields(self.cleaned_data, [FIELDS["algorithm"], *MAIN, *MORE])
        if "total_timesteps" in data:
            data.pop("length", None)
        return {**data, "hyperparameters": typed_hyperparameters(self.cleaned_data)}


def show_refusals(form: forms.Form, refused: InvalidSpec) -> None:
    """Put each refusal beside its field, those of no field that is seen at the form's top."""
    for error in refused.errors:
        if error.field in form.fields and not form[error.field].is_hidden:
            form.add_error(error.field, error.message)
        else:
            form.add_error(None, f"{error.field}: {error.message}")


def typed_hyperparameters(cleaned_data: dict[str, Any]) -> dict[str, str | None]:
    """Return the hyperparameters that were filled in, by their own names."""
    return {
        name.removeprefix(HYPERPARAMETER_PREFIX): _null_or(value)
        for name, value in cleaned_data.items()
        if name.startswith(HYPERPARAMETER_PREFIX) and value
    }


def _null_or(text: str) -> str | None:
    return None if text.lower() in {"null", "none"} else text


def _as_text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, bool) or value is None:
        return str(value).lower().replace("none", "null")
    return f"{value:g}" if isinstance(value, float) else str(value)


def hyperparameter_field(schema: Hyperparameter, value: Any, source: str) -> forms.Field:
    """Make the field of one hyperparameter; blank stands for the value that `source` has."""
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


class QuickStartForm(forms.Form):
    """The one row of the dashboard that starts a run; it is sent to the page of new runs.

    It offers the algorithms that can act in its environment.
    """

    algorithm = forms.ChoiceField()
    environment = text_field(initial=DEFAULT_ENVIRONMENT)
    preset = forms.ChoiceField(choices=[*PRESET_TITLES.items()], initial=DEFAULT_PRESET)
    length = forms.ChoiceField(choices=[*LENGTH_TITLES.items()], initial="standard")

    def __init__(self, given: Mapping[str, str]) -> None:
        super().__init__(initial={name: value for name, value in given.items() if value})
        choices = fitting_choices(self.initial.get("environment", DEFAULT_ENVIRONMENT))
        names = [name for name, _ in choices]
        if self.initial.get("algorithm") not in names:
            first = DEFAULT_ALGORITHM if DEFAULT_ALGORITHM in names else names[0]
            self.initial["algorithm"] = first
        algorithm = self.fields["algorithm"]
        assert isinstance(algorithm, forms.ChoiceField)
        algorithm.choices = choices

    @property
    def cards(self) -> list[EnvironmentCard]:
        """Every environment that is in a list."""
        return [profile.card for profile in profiles()]


def checkpoint_steps(run: Run) -> list[int]:
    """Return the steps of a run's checkpoints, the last one first."""
    return list(run.checkpoints.order_by("-step").values_list("step", flat=True))


def checkpoint_choices(steps: list[int]) -> list[tuple[str, str]]:
    """Return checkpoints as choices of a select."""
    each = ((str(step), f"step {step:,}") for step in steps)
    return [("best", "best"), ("last", "last"), *each]


class EvaluateForm(forms.Form):
    """An evaluation of one checkpoint of a run."""

    at = forms.ChoiceField(label="Checkpoint")
    n_episodes = number_field("Episodes", EVALUATION_BOUNDS["n_episodes"])
    seed = number_field("First seed", EVALUATION_BOUNDS["seed"])
    is_stochastic = forms.BooleanField(label="Sample actions", required=False)
    should_film = forms.BooleanField(label="Film it", required=False, initial=True)

    def __init__(self, run: Run, data: Any = None) -> None:
        super().__init__(
            data,
            auto_id="evaluate-%s",
            initial={
                "n_episodes": run.spec.get("eval_episodes", 5),
                "seed": default_evaluation_seed(run.spec["seed"]),
            },
        )
        steps = checkpoint_steps(run)
        self.has_checkpoints = bool(steps)
        at = self.fields["at"]
        assert isinstance(at, forms.ChoiceField)
        at.choices = checkpoint_choices(steps)

    def options(self) -> dict[str, Any]:
        """Return the fields of `EvalSpec` that were filled in."""
        numbers = {name: self.cleaned_data[name] for name in ("n_episodes", "seed")}
        return {
            **{name: value for name, value in numbers.items() if value},
            "is_deterministic": not self.cleaned_data["is_stochastic"],
            "should_film": self.cleaned_data["should_film"],
        }
