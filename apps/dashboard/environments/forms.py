"""What narrows the list of environments."""

from django import forms

from apps.dashboard.fields import algorithm_choices
from apps.jobs.verbs.environments import FAMILY_TITLES, Filter


class EnvironmentFilterForm(forms.Form):
    """Which environments the list shows."""

    search = forms.CharField(
        required=False,
        max_length=200,
        widget=forms.TextInput(attrs={"type": "search", "placeholder": "name, task, reward"}),
    )
    family = forms.ChoiceField(
        label="Group", required=False, choices=[("", "any group"), *FAMILY_TITLES.items()]
    )
    algorithm = forms.ChoiceField(
        required=False, choices=lambda: [("", "any algorithm"), *algorithm_choices()]
    )
    is_ready = forms.BooleanField(label="Ready to use", required=False)

    def wanted(self) -> Filter:
        """Return the filter; what was refused filters nothing."""
        self.full_clean()
        return Filter(**self.cleaned_data)
