"""The form of a new run: its fields, and what is offered for each."""

from typing import Any

from django import forms

from apps.catalogue.algorithms.backends import BACKENDS, DEFAULT_BACKEND, algorithm_of
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.cards import EnvironmentCard
from apps.catalogue.presets.presets import LENGTH_TITLES, PRESET_TITLES, lengths_for, preset_for
from apps.dashboard.fields import (
    DEFAULT_PRESET,
    SpecForm,
    blank_normalization,
    field_of,
    name_field,
    number_field,
    offer,
    typed_fields,
    with_beside,
)
from apps.experiments.models import Experiment
from apps.experiments.turns import PRIORITY_BOUNDS
from apps.jobs.verbs.environments import cards_for
from apps.spec.fields import DEFAULT_ALGORITHM, DEFAULT_ENVIRONMENT, DEVICES, FIELDS
from apps.spec.seeds import SEEDS_BOUNDS

# What a new form begins with.
INITIAL = {
    "environment": DEFAULT_ENVIRONMENT,
    "preset": DEFAULT_PRESET,
    "length": "standard",
    "seed": FIELDS["seed"].default,
}
MAIN = [row for row in FIELDS.values() if row.place == "main"]
MORE = [row for row in FIELDS.values() if row.place == "more"]


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


class RunForm(SpecForm):
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
        offer(self.fields["backend"], backend_choices(self.chosen.name))
        environment = given.get("environment") or DEFAULT_ENVIRONMENT
        offer(self.fields["length"], length_choices(environment))
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
            self.add_hyperparameter(schema, blank, source)

    @property
    def schedule(self) -> list[forms.BoundField]:
        """The fields about evaluations, checkpoints, how to compute and the queue."""
        return [self[name] for name in self.schedule_fields]

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
        return {**data, **self.typed_values()}
