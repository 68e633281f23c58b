"""The environments there are, and what is known of each before training in it."""

from django import forms
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.profiles import EnvironmentProfile
from apps.catalogue.presets.presets import LENGTH_TITLES, PRESET_TITLES
from apps.dashboard.frame import show
from apps.dashboard.new_run.forms import algorithm_choices
from apps.errors import UnknownEnvironment
from apps.experiments.models import Run
from apps.jobs.verbs.environments import (
    FAMILY_TITLES,
    READING_WAIT_S,
    Filter,
    by_group,
    profile_of,
    profiles,
)

LATEST_RUNS = 6


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


@require_safe
def environment_list(request: HttpRequest) -> HttpResponse:
    form = EnvironmentFilterForm(request.GET, auto_id="filter-%s")
    wanted = form.wanted()
    found = profiles(wanted, READING_WAIT_S)
    return show(
        request,
        "dashboard/environments/page.html",
        "Environments",
        form=form,
        groups=by_group(found),
        count=len(found),
        is_reading=any(profile.is_reading for profile in found),
    )


@require_safe
def environment(request: HttpRequest, environment_id: str) -> HttpResponse:
    try:
        profile = profile_of(environment_id, READING_WAIT_S)
    except UnknownEnvironment as error:
        raise Http404(str(error)) from error
    return show(
        request,
        "dashboard/environments/environment.html",
        profile.card.id,
        profile=profile,
        card=profile.card,
        algorithms=_algorithms(profile),
        lengths=[(LENGTH_TITLES[name], steps) for name, steps in profile.lengths.items()],
        latest=Run.objects.for_listing().filter(environment=profile.card.id)[:LATEST_RUNS],
    )


def _algorithms(profile: EnvironmentProfile) -> list[dict[str, object]]:
    """Return a row for each algorithm: those that can act there first, then why the others not."""
    rows: list[dict[str, object]] = [
        {
            "algorithm": ALGORITHMS[name],
            "misfit": misfit,
            "buffer_bytes": profile.storage.buffer_bytes.get(name) if profile.storage else None,
            "presets": [
                (preset, title, preset in profile.own_presets.get(name, ()))
                for preset, title in PRESET_TITLES.items()
            ],
        }
        for name, misfit in profile.misfits.items()
    ]
    return sorted(rows, key=lambda row: bool(row["misfit"]))
