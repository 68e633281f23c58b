"""The form of a run that goes on from a checkpoint with another spec; blank is the parent's."""

from dataclasses import replace
from typing import Any

from django import forms

from apps.catalogue.algorithms.backends import algorithm_of
from apps.catalogue.environments.cards import EnvironmentCard
from apps.dashboard.fields import (
    SpecForm,
    blank_normalization,
    field_of,
    name_field,
    offer,
    typed_fields,
    with_beside,
)
from apps.dashboard.run.forms import checkpoint_choices, checkpoint_steps
from apps.experiments.models import Run
from apps.jobs.verbs.environments import cards_for
from apps.jobs.verbs.lineage import NETWORK_HYPERPARAMETERS
from apps.spec.fields import BOUNDS, BRANCHED

OTHER_WORDS: dict[str, dict[str, Any]] = {
    "total_timesteps": {"title": "Total steps", "hint": "With those up to the checkpoint."},
    "environment": {"hint": "One with the same spaces."},
}
# What the form of a new run offers, too, with what some of it means here.
OFFERED = [replace(row, **OTHER_WORDS.get(row.name, {})) for row in BRANCHED if row.place]
MOST_STEPS = BOUNDS["total_timesteps"][1]


class BranchForm(SpecForm):
    """A run that goes on from a checkpoint of another one with another spec."""

    at = forms.ChoiceField(label="Checkpoint", help_text="Where the branch starts.")
    schedules = forms.ChoiceField(
        choices=[("", "the parent's length"), ("stretch", "over this branch")],
        required=False,
        help_text="Linear decays and exploration; one that is changed runs over this branch.",
    )
    name = name_field("run", "Blank: made for you.")
    experiment = name_field("experiment", "Blank: the parent's.")

    main_fields = (
        "at",
        *with_beside(OFFERED, {"total_timesteps": "schedules"}),
        "name",
        "experiment",
    )

    def __init__(self, run: Run, data: Any = None, at: str = "last") -> None:
        super().__init__(data)
        self.fields |= {row.name: field_of(row) for row in OFFERED}
        self.run = run
        self.steps = checkpoint_steps(run)
        offer(self.fields["at"], checkpoint_choices(self.steps))
        self.has_asked_checkpoint = at in dict(checkpoint_choices(self.steps))
        self.initial["at"] = at if self.has_asked_checkpoint else "last"
        self.initial["total_timesteps"] = self._suggested_steps()
        for row in OFFERED:
            if row.kind in {"int", "text"}:
                value = run.spec.get(row.name, row.default)
                self.fields[row.name].widget.attrs["placeholder"] = f"{value} (parent)"
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
        changes = typed_fields(self.cleaned_data, OFFERED)
        if changes.get("environment", self.run.environment) != self.run.environment:
            changes["environment_kwargs"] = {}  # They were another environment's.
        return {**changes, **self.typed_values()}
