"""What can be trained: algorithms with their schemas, environments, presets."""

from collections.abc import Collection
from typing import Any

from django.http import Http404, HttpRequest
from ninja import Router
from ninja.params.functions import Query

from apps.api.problems import refusal, responses
from apps.api.schemas.catalogue import Algorithms, EnvironmentDetail, Environments, Presets
from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.backends import BACKENDS, DEFAULT_BACKEND
from apps.catalogue.algorithms.sb3 import ALGORITHMS
from apps.catalogue.presets.presets import PRESET_TITLES, lengths_for, preset_for
from apps.errors import UnknownEnvironment
from apps.experiments.models import Run
from apps.jobs.verbs.environments import (
    FAMILY_TITLES,
    READING_WAIT_S,
    Filter,
    profile_of,
    profiles,
)
from apps.spec.fields import DEFAULT_ENVIRONMENT
from apps.text.suggestions import did_you_mean

LATEST_RUNS = 6

router = Router()


@router.get("/algorithms", response=responses({200: Algorithms}))
def list_algorithms(
    request: HttpRequest,
    backend: str = Query(DEFAULT_BACKEND, description=f"One of {', '.join(BACKENDS)}."),
) -> Any:
    """List a backend's algorithms with the schema of every hyperparameter."""
    if backend not in BACKENDS:
        raise refusal("backend", _unknown(backend, "a backend", BACKENDS))
    return {"algorithms": [_algorithm(each) for each in BACKENDS[backend].algorithms.values()]}


def _algorithm(algorithm: Algorithm) -> dict[str, Any]:
    fields = ("name", "title", "meaning", "is_on_policy", "max_envs", "diagnostics", "backend")
    return {
        **{name: getattr(algorithm, name) for name in fields},
        "backends": [name for name, one in BACKENDS.items() if algorithm.name in one.algorithms],
        "action_spaces": sorted(algorithm.action_spaces),
        "hyperparameters": [
            {name: getattr(schema, name) for name in schema.__slots__}
            | {"allowed": schema.allowed()}
            for schema in algorithm.hyperparameters.values()
        ],
    }


@router.get("/environments", response=responses({200: Environments}))
def list_environments(
    request: HttpRequest,
    search: str = Query("", max_length=200, description="Words of its id, task or reward."),
    family: str = Query("", description=f"One of {', '.join(FAMILY_TITLES)}."),
    algorithm: str = Query("", description="One that can act there."),
    is_ready: bool = Query(False, description="Only those that can be used now."),
) -> Any:
    """List the environments we know and your own; any other Gymnasium id can be trained in too."""
    if family and family not in FAMILY_TITLES:
        raise refusal("family", _unknown(family, "a family", FAMILY_TITLES))
    _refuse_unknown(algorithm)
    wanted = Filter(search, family, algorithm, is_ready)
    return {"environments": [each.in_short() for each in profiles(wanted, READING_WAIT_S)]}


@router.get("/environments/{path:environment_id}", response=responses({200: EnvironmentDetail}))
def get_environment(request: HttpRequest, environment_id: str) -> Any:
    """Show one environment: spaces number by number, storage, algorithms, presets, latest runs."""
    try:
        profile = profile_of(environment_id, READING_WAIT_S)
    except UnknownEnvironment as error:
        raise Http404(str(error)) from error
    runs = Run.objects.for_listing().filter(environment=profile.card.id)
    return {
        **profile.in_full(),
        "latest_runs": list(runs[:LATEST_RUNS]),
    }


@router.get("/presets", response=responses({200: Presets}))
def list_presets(
    request: HttpRequest,
    algorithm: str = Query("", description="Empty: every algorithm."),
    environment: str = Query(DEFAULT_ENVIRONMENT, max_length=200),
) -> Any:
    """List presets for an environment: its own where it has one, else the algorithm's."""
    _refuse_unknown(algorithm)
    presets = []
    for name in [algorithm] if algorithm else ALGORITHMS:
        for preset_name, title in PRESET_TITLES.items():
            preset = preset_for(name, environment, preset_name)
            presets.append(
                {
                    "algorithm": name,
                    "environment": environment,
                    "name": preset_name,
                    "title": title,
                    "n_envs": preset.n_envs,
                    "vectorization": preset.vectorization,
                    "hyperparameters": preset.hyperparameters,
                    "normalize": preset.normalize,
                    "source": preset.source,
                }
            )
    return {"presets": presets, "lengths": lengths_for(environment)}


def _refuse_unknown(algorithm: str) -> None:
    if algorithm and algorithm not in ALGORITHMS:
        raise refusal("algorithm", _unknown(algorithm, "an algorithm", ALGORITHMS))


def _unknown(name: str, what: str, known: Collection[str]) -> str:
    hint = did_you_mean(name, known)
    return f"{name[:80]!r} is not {what} here; allowed: {', '.join(known)}{hint}"
