"""The one row of the first page that starts a run."""

from collections.abc import Mapping

from django import forms

from apps.catalogue.environments.cards import EnvironmentCard
from apps.catalogue.presets.presets import LENGTH_TITLES, PRESET_TITLES
from apps.dashboard.fields import DEFAULT_PRESET, algorithm_choices, offer, text_field
from apps.errors import UnknownEnvironment
from apps.jobs.verbs.environments import profile_of, profiles
from apps.spec.fields import DEFAULT_ALGORITHM, DEFAULT_ENVIRONMENT


def fitting_choices(environment: str) -> list[tuple[str, str]]:
    """Return the algorithms that can act in an environment; all where nobody knows its spaces."""
    try:
        fitting = profile_of(environment).algorithms
    except UnknownEnvironment:
        fitting = []
    return [one for one in algorithm_choices() if not fitting or one[0] in fitting]


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
        offer(self.fields["algorithm"], choices)

    @property
    def cards(self) -> list[EnvironmentCard]:
        """Every environment that is in a list."""
        return [profile.card for profile in profiles()]
