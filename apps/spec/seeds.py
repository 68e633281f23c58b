"""Many specs out of one, and what makes two of them the same.

Pure: nothing here makes a run. Counts are refused before anything is multiplied.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from apps.catalogue.algorithms.backends import algorithm_of
from apps.errors import FieldError, InvalidSpec
from apps.spec.fields import FIELDS, MAX_SEED
from apps.spec.run import RunSpec
from apps.spec.schema import check_numbers

MAX_SEEDS = 100
SEEDS_BOUNDS = {"seeds": (1, MAX_SEEDS)}
# The seed tells the runs of one configuration apart; a preset only says where values came from.
NOT_CONFIGURED = ("seed", "preset")
# What a run is of is part of its configuration, the default as well.
ALWAYS_CONFIGURED = ("algorithm", "environment", "total_timesteps")
DEFAULTS = {name: row.default for name, row in FIELDS.items() if name not in ALWAYS_CONFIGURED}


def configuration_hash(spec: Mapping[str, Any]) -> str:
    """Hash what a spec does, apart from its seed: equal for runs that are seeds of one another.

    Values that are the default are left out, so a field that is added to specs later changes the
    hash of no older one.

    Args:
        spec: A resolved spec as JSON-ready data.

    Returns:
        32 hexadecimal digits.
    """
    algorithm = algorithm_of(spec)
    schemas = algorithm.hyperparameters if algorithm else {}
    own = {
        name: value
        for name, value in spec.items()
        if name not in NOT_CONFIGURED and (name not in DEFAULTS or value != DEFAULTS[name])
    }
    own["hyperparameters"] = {
        name: value
        for name, value in spec.get("hyperparameters", {}).items()
        if name not in schemas or value != schemas[name].default
    }
    if "config" in own:  # Of a logged run; its seed stands there as well.
        own["config"] = {k: v for k, v in own["config"].items() if k not in NOT_CONFIGURED}
    text = orjson.dumps(own, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:32]


def with_seeds(spec: RunSpec, count: Any) -> list[RunSpec]:
    """Return a spec with as many seeds: its own and those that follow.

    Args:
        spec: A resolved spec.
        count: How many, 1 to `MAX_SEEDS`; text is read as a number.

    Raises:
        InvalidSpec: The count is out of bounds, or the last seed would be.
    """
    errors: list[FieldError] = []
    values = {"seeds": count}
    check_numbers(values, SEEDS_BOUNDS, errors)
    if not errors and spec.seed + values["seeds"] - 1 > MAX_SEED:
        errors.append(
            FieldError(
                "seeds",
                f"{values['seeds']} is not allowed from seed {spec.seed} on; the greatest seed is "
                f"{MAX_SEED}",
            )
        )
    if errors:
        raise InvalidSpec(errors)
    return [replace(spec, seed=spec.seed + nth) for nth in range(values["seeds"])]
