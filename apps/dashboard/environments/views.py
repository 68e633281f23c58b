"""The environments there are, and what is known of each before training in it."""

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.environments.profiles import EnvironmentProfile
from apps.catalogue.presets.presets import LENGTH_TITLES, PRESET_TITLES
from apps.dashboard.environments.forms import EnvironmentFilterForm
from apps.dashboard.frame import show
from apps.errors import UnknownEnvironment
from apps.experiments.models import Run
from apps.jobs.verbs.environments import (
    READING_WAIT_S,
    by_group,
    profile_of,
    profiles,
)

LATEST_RUNS = 6


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
