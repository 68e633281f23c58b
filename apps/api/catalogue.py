"""What can be trained: algorithms with their schemas, environments, presets."""

from typing import Any

from django.http import HttpRequest
from ninja import Router
from ninja.params.functions import Query

from apps.api.problems import refusal, responses
from apps.api.schemas import Algorithms, Environments, Presets
from apps.engine.algorithms import ALGORITHMS, Algorithm
from apps.engine.environments import ENVIRONMENTS, FAMILIES, EnvironmentCard
from apps.engine.presets import PRESET_TITLES, lengths_for, preset_for
from apps.engine.spec import DEFAULT_ENVIRONMENT

router = Router()


@router.get("/algorithms", response=responses({200: Algorithms}))
def list_algorithms(request: HttpRequest) -> Any:
    """List algorithms with the schema of every hyperparameter."""
    return {"algorithms": [_algorithm(algorithm) for algorithm in ALGORITHMS.values()]}


def _algorithm(algorithm: Algorithm) -> dict[str, Any]:
    fields = ("name", "title", "meaning", "is_on_policy", "max_envs", "diagnostics")
    return {
        **{name: getattr(algorithm, name) for name in fields},
        "action_spaces": sorted(algorithm.action_spaces),
        "hyperparameters": [
            {name: getattr(schema, name) for name in schema.__slots__}
            | {"allowed": schema.allowed()}
            for schema in algorithm.hyperparameters.values()
        ],
    }


@router.get("/environments", response=responses({200: Environments}))
def list_environments(request: HttpRequest) -> Any:
    """List the environments we know; any other Gymnasium id can be trained in as well."""
    return {"environments": [_environment(card) for card in ENVIRONMENTS.values()]}


def _environment(card: EnvironmentCard) -> dict[str, Any]:
    family = FAMILIES[card.family]
    able = [a.name for a in ALGORITHMS.values() if card.action_space in a.action_spaces]
    return {
        **{name: getattr(card, name) for name in card.__slots__},
        "family_title": family.title,
        "install": family.install,
        "algorithms": able,
        "lengths": lengths_for(card.id),
    }


@router.get("/presets", response=responses({200: Presets}))
def list_presets(
    request: HttpRequest,
    algorithm: str = Query("", description="Empty: every algorithm."),
    environment: str = Query(DEFAULT_ENVIRONMENT, max_length=200),
) -> Any:
    """List presets for an environment: its own where it has one, else the algorithm's."""
    if algorithm and algorithm not in ALGORITHMS:
        message = f"{algorithm!r} is not an algorithm here; allowed: {', '.join(ALGORITHMS)}"
        raise refusal("algorithm", message)
    presets = []
    for name in [algorithm] if algorithm else ALGORITHMS:
        for preset_name, title in PRESET_TITLES.items():
            preset = preset_for(name, environment, preset_name)
            presets.append({
                "algorithm": name,
                "environment": environment,
                "name": preset_name,
                "title": title,
                "n_envs": preset.n_envs,
                "hyperparameters": preset.hyperparameters,
                "source": preset.source,
            })  # fmt: skip
    return {"presets": presets, "lengths": lengths_for(environment)}
