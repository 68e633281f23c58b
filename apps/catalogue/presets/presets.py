"""Presets and run lengths: good hyperparameters by name, for each algorithm and environment.

A preset of an environment takes precedence over one of its family, and that over the algorithm's
general one. General ones are in `general.toml`, the tuned figures of RL-Baselines3-Zoo in
`tuned.json` (see `foreign/zoo_collect.py`), the Fast presets that were searched in `fast.json`
(see `searched.py`), run lengths in `lengths.toml`. `python -m apps.catalogue` rewrites
docs/presets.md and docs/algorithms.md.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import orjson

from apps.catalogue.environments.cards import ENVIRONMENTS
from apps.catalogue.environments.ids import family_name
from apps.catalogue.presets.searched import Search, read_searches
from apps.catalogue.stepping import DEFAULT_VECTORIZATION
from apps.catalogue.tables import check_names, make_row, read_table

PresetName = Literal["fast", "stable", "high_score"]
LengthName = Literal["quick", "standard", "epic"]

PRESET_TITLES: dict[PresetName, str] = {
    "fast": "Fast",
    "stable": "Stable",
    "high_score": "High score",
}
LENGTH_TITLES: dict[LengthName, str] = {
    "quick": "Quick",
    "standard": "Standard",
    "epic": "Epic",
}


@dataclass(frozen=True, slots=True)
class Preset:
    """Hyperparameters by name.

    Attributes:
        hyperparameters: Values that differ from the library's defaults.
        n_envs: Parallel environments.
        vectorization: How they are stepped.
        source: Where the values come from.
        total_timesteps: Steps that they were tuned for, None where nobody says.
        normalize: Keywords of VecNormalize that belong to them, None without it.
        notes: What differs from the source, in words.
    """

    hyperparameters: dict[str, Any] = field(default_factory=dict)
    n_envs: int = 1
    source: str = "rlgym"
    total_timesteps: int | None = None
    normalize: dict[str, Any] | None = None
    notes: tuple[str, ...] = ()
    vectorization: str = DEFAULT_VECTORIZATION


GENERAL_FILE = Path(__file__).parent / "general.toml"
LENGTHS_FILE = Path(__file__).parent / "lengths.toml"


def _general_presets(algorithm: str, rows: dict[PresetName, Any]) -> dict[PresetName, Preset]:
    check_names(GENERAL_FILE, algorithm, rows, PRESET_TITLES)
    return {
        name: make_row(Preset, GENERAL_FILE, f"{algorithm}.{name}", **row)
        for name, row in rows.items()
    }


GENERAL_PRESETS: dict[str, dict[PresetName, Preset]] = {
    algorithm: _general_presets(algorithm, rows)
    for algorithm, rows in read_table(GENERAL_FILE).items()
}

ZOO_FILE = Path(__file__).parent / "tuned.json"


def _zoo_presets() -> dict[tuple[str, str], Preset]:
    data = orjson.loads(ZOO_FILE.read_bytes())
    return {
        (algorithm, environment): Preset(
            hyperparameters=entry["hyperparameters"],
            n_envs=entry["n_envs"],
            source=f"{data['source']}: {entry['from']}",
            total_timesteps=entry["total_timesteps"],
            normalize=entry["normalize"],
            notes=tuple(entry["notes"]),
        )
        for algorithm, environments in data["presets"].items()
        for environment, entry in environments.items()
    }


# Of an environment, or of a family where the zoo has one set of figures for all of it.
ZOO_PRESETS: dict[tuple[str, str], Preset] = _zoo_presets()

SEARCHES: dict[tuple[str, str], Search] = read_searches()


def _searched_preset(search: Search) -> Preset:
    found = search.chosen
    return Preset(
        hyperparameters=found.hyperparameters,
        n_envs=found.n_envs,
        source=f"searched: {found.solved} of {found.seeds} seeds solved",
        total_timesteps=search.total_timesteps,
        normalize=found.normalize,
        vectorization=found.vectorization,
        notes=("no faster ones were as reliable as the tuned",) * (found is search.tuned),
    )


ENVIRONMENT_PRESETS: dict[tuple[str, str], dict[PresetName, Preset]] = {
    key: {
        **({"high_score": ZOO_PRESETS[key]} if key in ZOO_PRESETS else {}),
        **({"fast": _searched_preset(SEARCHES[key])} if key in SEARCHES else {}),
    }
    for key in sorted({*ZOO_PRESETS, *SEARCHES})
}


def _read_lengths() -> dict[str, dict[LengthName, int]]:
    """Return the steps of run lengths, by environment or family; by the empty name of all."""
    told = read_table(LENGTHS_FILE)
    check_names(LENGTHS_FILE, "it", told, ("all", "families", "environments"))
    lengths = {"": told["all"], **told["families"], **told["environments"]}
    for name, steps in lengths.items():
        check_names(LENGTHS_FILE, name or "all", steps, LENGTH_TITLES)
    return lengths


_LENGTHS = _read_lengths()


def preset_for(algorithm: str, environment: str, name: PresetName) -> Preset:
    """Return the environment's own preset, else its family's, else the algorithm's general one."""
    for key in (environment, _family_name(environment)):
        if own := ENVIRONMENT_PRESETS.get((algorithm, key), {}).get(name):
            return own
    return GENERAL_PRESETS[algorithm][name]


def lengths_for(environment: str) -> dict[LengthName, int]:
    """Return the steps of each run length in an environment."""
    return _LENGTHS.get(environment) or _LENGTHS.get(_family_name(environment)) or _LENGTHS[""]


def _family_name(environment: str) -> str:
    """Return the key of an environment's family, known by its card or its id; empty for none."""
    card = ENVIRONMENTS.get(environment)
    return card.family if card else family_name(environment)
