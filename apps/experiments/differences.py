"""What a run has from the one it came from, and what it has otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from apps.catalogue.normalizing import what_is_normalized
from apps.errors import RunDirectoryError
from apps.rundir.directory import RunDirectory
from apps.rundir.files import read_json

UNSET = "unset"
NESTED = ("hyperparameters", "environment_kwargs", "normalize", "config")
SHOWN_HASH_LENGTH = 12


@dataclass(frozen=True, slots=True)
class Difference:
    """One field of a spec that two runs do not share.

    Attributes:
        name: The field, with dots where it is nested: `hyperparameters.gamma`.
        before: The parent's value, `unset` when it has no such field.
        after: The child's value, `unset` likewise.
    """

    name: str
    before: Any
    after: Any

    @property
    def label(self) -> str:
        """The field's name without what it is nested in, as people say it."""
        name = self.name.removeprefix("hyperparameters.").removeprefix("config.")
        return name.replace("environment_kwargs.", "env ")


def differences(parent: Mapping[str, Any], child: Mapping[str, Any]) -> list[Difference]:
    """Compare two specs field by field; hyperparameters and other keywords one by one.

    Args:
        parent: A spec as JSON-ready data.
        child: The spec that came from it.

    Returns:
        The fields that differ: the child's in its order, then those that only the parent has.
    """
    before, after = _flat(parent), _flat(child)
    names = [*after, *(name for name in before if name not in after)]
    found = (Difference(n, before.get(n, UNSET), after.get(n, UNSET)) for n in names)
    return [one for one in found if one.before != one.after and not _is_told_as_a_whole(one)]


def _is_told_as_a_whole(one: Difference) -> bool:
    """Whether it is a keyword of normalising, where one of the two normalises nothing."""
    return one.name.startswith("normalize.") and UNSET in (one.before, one.after)


def imported_file_name(directory: RunDirectory) -> str:
    """Return what its user called the model file that a run started from, empty without one."""
    try:
        return str(read_json(directory.record).get("file_name", ""))
    except RunDirectoryError:
        return ""  # A directory that somebody made by hand has no record.


def _flat(spec: Mapping[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in spec.items() if name not in NESTED}
    if flat.get("weights"):
        flat["weights"] = flat["weights"][:SHOWN_HASH_LENGTH]
    for outer in NESTED:
        inner = spec.get(outer) or {}
        flat.update({f"{outer}.{name}": value for name, value in inner.items()})
    for name in ("normalize.norm_obs", "normalize.norm_reward"):
        flat.pop(name, None)
    return {**flat, "normalize": what_is_normalized(spec.get("normalize"))}
