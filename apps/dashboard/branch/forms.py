"""The form of a run that goes on from a checkpoint with another spec; blank is the parent's."""

from typing import Any

from django import forms

from apps.catalogue.algorithms.backends import algorithm_of
from apps.catalogue.environments.cards import EnvironmentCard
from apps.dashboard.fields import (
    SpecForm,
    blank_normalization,
    name_field,
    normalize_field,
    number_field,
    offer,
)
from apps.dashboard.run.forms import checkpoint_choices, checkpoint_steps
from apps.experiments.models import Run
from apps.jobs.verbs.environments import cards_for
from apps.jobs.verbs.lineage import NETWORK_HYPERPARAMETERS
from apps.spec.run import BOUNDS

MOST_STEPS = BOUNDS["total_timesteps"][1]


class BranchForm(SpecForm):
    """A run that goes on from a checkpoint of another one with another spec."""

    at = forms.ChoiceField(label="Checkpoint", help_text="Where the branch starts.")
    total_timesteps = number_field(
        "Total steps", BOUNDS["total_timesteps"], "With those up to the checkpoint."
    )
    seed = number_field("Seed", BOUNDS["seed"])
    environment = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"list": "known-environments", "autocomplete": "off"}),
        help_text="One with the same spaces.",
    )
    normalize = normalize_field()
    schedules = forms.ChoiceField(
        choices=[("", "the parent's length"), ("stretch", "over this branch")],
        required=False,
        help_text="Linear decays and exploration; one that is changed runs over this branch.",
    )
    name = name_field("run", "Blank: made for you.")
    experiment = name_field("experiment", "Blank: the parent's.")

    main_fields = (
        "at",
        "total_timesteps",
        "schedules",
        "seed",
        "environment",
        "normalize",
        "name",
        "experiment",
    )

    def __init__(self, run: Run, data: Any = None, at: str = "last") -> None:
        super().__init__(data)
        self.run = run
        self.steps = checkpoint_steps(run)
        offer(self.fields["at"], checkpoint_choices(self.steps))
        self.has_asked_checkpoint = at in dict(checkpoint_choices(self.steps))
        self.initial["at"] = at if self.has_asked_checkpoint else "last"
        self.initial["total_timesteps"] = self._suggested_steps()
        for name in ("total_timesteps", "seed", "environment"):
            self.fields[name].widget.attrs["placeholder"] = f"{run.spec[name]} (parent)"
        self.fields["experiment"].widget.attrs["placeholder"] = f"{run.experiment.name} (parent)"
        blank_normalization(self.fields["normalize"], run.spec.get("normalize"), "parent")
        self.algorithm = algorithm_of(run.spec)
        given = run.spec["hyperparameters"]
        for name, schema in (self.algorithm.hyperparameters if self.algorithm else {}).items():
            if name not in NETWORK_HYPERPARAMETERS:
                self.add_hyperparameter(schema, given.get(name, schema.default), "parent")

    def _suggested_steps(self) -> int:
        """Return the parent's steps, or as many again when the checkpoint is at their end."""
        at = self.initial["at"]
        step = int(at) if at.isdecimal() else max(self.steps, default=0)
        total: int = self.run.spec["total_timesteps"]
        return total if step < total else min(step + total, MOST_STEPS)

    @property
    def cards(self) -> list[EnvironmentCard]:
        """The environments that the algorithm can act in."""
        return cards_for(self.algorithm) if self.algorithm else []

    def changes(self) -> dict[str, Any]:
        """Return the fields of the spec that were filled in."""
        names = ("total_timesteps", "seed", "environment")
        changes = {name: self.cleaned_data[name] for name in names if self.cleaned_data[name]}
        if changes.get("environment", self.run.environment) != self.run.environment:
            changes["environment_kwargs"] = {}  # They were another environment's.
        return {**changes, **self.typed_values()}
