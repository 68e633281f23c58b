"""What changes by itself over a run: linear decays, and exploration. Their values at any step.

A schedule runs over `RunSpec.schedule_timesteps`, or over the whole run where that is 0, and stays
at its end from there on. A run that goes on for longer keeps its parent's, so that nothing rises
again unless somebody asks for it.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

from apps.catalogue.algorithms.schema import SCHEDULE_PREFIX
from apps.errors import FieldError, InvalidSpec
from apps.spec.run import RunSpec
from apps.words import shown

# What becomes of the schedules of a run that goes on: they keep their length, and so stay at
# their end, or are stretched over the new one.
Schedules = Literal["keep", "stretch"]
SCHEDULES: tuple[str, ...] = get_args(Schedules)
EXPLORATION = ("exploration_initial_eps", "exploration_final_eps", "exploration_fraction")


def names_of(hyperparameters: Mapping[str, Any]) -> set[str]:
    """Return the names of the hyperparameters that are, or make, a schedule."""
    decays = {
        name
        for name, value in hyperparameters.items()
        if isinstance(value, str) and value.startswith(SCHEDULE_PREFIX)
    }
    return decays | {name for name in EXPLORATION if name in hyperparameters}


def values_at(spec: RunSpec, step: int) -> dict[str, float]:
    """Return the value of each schedule of a spec at a step."""
    done = min(1.0, step / spec.schedule_length)
    given = spec.hyperparameters
    values = {
        name: float(given[name].removeprefix(SCHEDULE_PREFIX)) * (1 - done)
        for name in names_of(given) - {*EXPLORATION}
    }
    if given.keys() >= {*EXPLORATION}:
        first, last, fraction = (float(given[name]) for name in EXPLORATION)
        share = min(1.0, done / fraction) if fraction else 1.0
        values["exploration"] = first + share * (last - first)
    return values


def seam(before: RunSpec, spec: RunSpec, step: int) -> str:
    """Say what becomes of the schedules where a run goes on from another; empty: nothing new.

    Args:
        before: The spec of the checkpoint.
        spec: The spec that goes on from it.
        step: Step of the checkpoint.
    """
    old, new = values_at(before, step), values_at(spec, step)
    changed = [
        f"{name} goes on at {new[name]:.4g}, after {old[name]:.4g}"
        for name in sorted(new)
        if name in old and f"{new[name]:.4g}" != f"{old[name]:.4g}"
    ]
    if changed:
        return "; ".join(changed)
    if not new or before.total_timesteps == spec.total_timesteps or step < spec.schedule_length:
        return ""
    ended = ", ".join(f"{name} {value:.4g}" for name, value in sorted(new.items()))
    still = "; nothing more is learnt" if new.get("learning_rate") == 0 else ""
    return (
        f"they ended at step {spec.schedule_length} and stay there: {ended}{still}. To run them "
        "over the new length, go on with schedules stretch"
    )


def check_schedules(value: str) -> None:
    """Refuse what is not one of `SCHEDULES`.

    Raises:
        InvalidSpec: It is not.
    """
    if value not in SCHEDULES:
        message = f"{shown(value)} is not allowed; allowed: {', '.join(SCHEDULES)}"
        raise InvalidSpec([FieldError("schedules", message)])
