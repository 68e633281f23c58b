"""Batch files: a YAML list of specs and grids, read into one line for each configuration.

What a file may say is docs/batches.md. Nothing here knows which runs are there already, and
nothing constructs an environment.
"""

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from apps.errors import FieldError, InvalidSpec
from apps.foreign.plain_yaml import Document, Mark, Path, read
from apps.spec.fields import BOUNDS, FIELDS
from apps.spec.run import RunSpec
from apps.spec.schema import check_numbers
from apps.spec.seeds import with_seeds
from apps.text.suggestions import did_you_mean
from apps.text.whole_numbers import whole_number
from apps.words import shown

MAX_RUNS = 1000
EMPTY = Document(None, {}, [])
WHOLE = "a batch file is an object with a list `runs`, and maybe `defaults`"
FILE_KEYS = ("defaults", "runs")
SPEC_KEYS = tuple(FIELDS)
DEFAULT_KEYS = (*SPEC_KEYS, "name", "experiment", "priority", "seeds")
RUN_KEYS = (*DEFAULT_KEYS, "grid")
NESTED = ("hyperparameters", "environment_kwargs")
# Of these only one may be given, so the nearer one to a run takes the place of the other.
ALTERNATIVES = {"length": "total_timesteps", "total_timesteps": "length"}
TEXT_KEYS = ("name", "experiment")


@dataclass(frozen=True, slots=True)
class Line:
    """One configuration of a batch file.

    Attributes:
        entry: Number of the entry in the file's list, from 1.
        line: Line of the file where that entry begins.
        data: Fields of the spec, as `RunSpec.from_dict` takes them.
        seeds: How many seeds, or which; as it was written.
        name: What its runs are called before their seed, empty: made from the spec.
        experiment: The experiment they belong to, empty: named after the spec.
        priority: Their priority in the queue, as it was written.
        varied: The values that the grid gives this one, by the grid's names.
        errors: What cannot be read in it.
        document: The file that it stands in.
    """

    entry: int
    line: int
    data: dict[str, Any] = field(default_factory=dict)
    seeds: Any = 1
    name: str = ""
    experiment: str = ""
    priority: Any = 0
    varied: dict[str, Any] = field(default_factory=dict)
    errors: list[FieldError] = field(default_factory=list)
    document: Document = field(default=EMPTY, repr=False, compare=False)

    def place_of(self, name: str) -> Mark | None:
        """Return where a field of it stands, dotted or not: in the entry, its grid, or defaults.

        A field that stands nowhere is told by the entry that lacks it.
        """
        own: Path = ("runs", self.entry - 1)
        way = tuple(int(part) if part.isdecimal() else part for part in name.split("."))
        grid_key = name.removeprefix("grid.")
        marks = self.document.marks
        for path in ((*own, "grid", grid_key), (*own, *way), ("defaults", *way)):
            if path in marks:
                return marks[path]
        if (*own, way[0]) in marks or ("defaults", way[0]) not in marks:
            return self.document.nearest((*own, *way))
        return self.document.nearest(("defaults", *way))

    def specs(self, spec: RunSpec) -> list[RunSpec]:
        """Return the line's resolved spec with each of its seeds.

        Raises:
            InvalidSpec: The seeds are no count and no list of different seeds.
        """
        if not isinstance(self.seeds, list):
            return with_seeds(spec, self.seeds)
        if "seed" in self.data:
            raise _refused("seeds", "a list of seeds and a seed cannot both be given")
        errors: list[FieldError] = []
        numbers: dict[str, Any] = {f"seeds.{nth}": seed for nth, seed in enumerate(self.seeds)}
        check_numbers(numbers, dict.fromkeys(numbers, BOUNDS["seed"]), errors)
        if errors:
            raise InvalidSpec(errors)
        if not numbers or len({*numbers.values()}) < len(numbers):
            raise _refused("seeds", f"{shown(self.seeds)} is empty or names a seed twice")
        return [replace(spec, seed=seed) for seed in numbers.values()]


def read_batch(text: str) -> list[Line]:
    """Read a batch file.

    Returns:
        Its lines in order; one that cannot be read has `errors` and no data.

    Raises:
        InvalidSpec: It is no YAML, has other parts than a batch file, or too many runs.
    """
    document = read(text)
    if document.repeated:
        raise _refused("", f"given twice: {', '.join(document.repeated)}; leave one of them out")
    batch, entries = document.value, None
    if isinstance(batch, dict):
        _refuse_parts(batch, document)
        entries = batch.get("runs")
    if not isinstance(entries, list) or not entries:
        raise _refused("", f"{WHOLE}{document.shown_at('runs')}")
    defaults = {} if batch.get("defaults") is None else batch["defaults"]
    if errors := _wrong_with(defaults, DEFAULT_KEYS):
        raise InvalidSpec([_in_defaults(error, document) for error in errors])
    count = sum(_count(defaults, entry) for entry in entries)
    if count > MAX_RUNS:
        raise _refused("runs", f"{count} runs are too many for a file; at most {MAX_RUNS}")
    places = [_line_of(document, index) for index in range(len(entries))]
    numbered = enumerate(zip(entries, places, strict=True), 1)
    return [
        line
        for number, (entry, line_number) in numbered
        for line in _lines(Line(number, line_number, document=document), defaults, entry)
    ]


def _refuse_parts(batch: Mapping[Any, Any], document: Document) -> None:
    for name in batch:
        if name not in FILE_KEYS:
            hint = did_you_mean(name, FILE_KEYS)
            raise _refused(str(name), f"unknown{hint}; {WHOLE}{document.shown_at(str(name))}")


def _in_defaults(error: FieldError, document: Document) -> FieldError:
    place = document.shown_at("defaults", *error.field.split("."))
    return FieldError(f"defaults.{error.field}".rstrip("."), f"{error.message}{place}")


def _line_of(document: Document, index: int) -> int:
    place = document.nearest(("runs", index))  # Of a merged list that is the file's beginning.
    return place.line if place else 1


def _refused(name: str, message: str) -> InvalidSpec:
    return InvalidSpec([FieldError(name, message)])


def _wrong_with(entry: Any, allowed: tuple[str, ...]) -> list[FieldError]:
    """Return what is wrong with the shape of an entry, whatever its values are."""
    if not isinstance(entry, dict):
        return [FieldError("", f"{shown(entry)} is not an object of fields by name")]
    errors = [
        FieldError(str(key), f"unknown; allowed: {', '.join(allowed)}{did_you_mean(key, allowed)}")
        for key in entry
        if key not in allowed
    ]
    errors += [
        FieldError(key, f"{shown(entry[key])} is not an object of values by name")
        for key in NESTED
        if not isinstance(entry.get(key, {}), dict)
    ]
    errors += [
        FieldError(key, f"{shown(entry[key])} is not text")
        for key in TEXT_KEYS
        if not isinstance(entry.get(key, ""), str)
    ]
    return errors + _wrong_with_grid(entry.get("grid", {}))


def _wrong_with_grid(grid: Any) -> list[FieldError]:
    if not isinstance(grid, dict):
        return [FieldError("grid", f"{shown(grid)} is not an object of lists by name")]
    errors = []
    for key, values in grid.items():
        outer, dot, inner = str(key).partition(".")
        if (outer not in NESTED or not inner) if dot else (key not in SPEC_KEYS or key in NESTED):
            allowed = ", ".join([*SPEC_KEYS, *(f"{name}.NAME" for name in NESTED)])
            hint = did_you_mean(key, SPEC_KEYS)
            errors.append(FieldError(f"grid.{key}", f"unknown; allowed: {allowed}{hint}"))
        elif not isinstance(values, list) or not values:
            errors.append(FieldError(f"grid.{key}", f"{shown(values)} is not a list of values"))
    return errors


def _count(defaults: Mapping[str, Any], entry: Any) -> int:
    """Return how many runs an entry stands for, without making them; 1 when it is refused."""
    if _wrong_with(entry, RUN_KEYS):
        return 1
    seeds = entry.get("seeds", defaults.get("seeds", 1))
    n_seeds = len(seeds) if isinstance(seeds, list) else whole_number(seeds)
    points = math.prod(len(values) for values in entry.get("grid", {}).values())
    return points * max(n_seeds or 1, 1)


def _lines(place: Line, defaults: Mapping[str, Any], entry: Any) -> Iterator[Line]:
    if errors := _wrong_with(entry, RUN_KEYS):
        yield replace(place, errors=errors)
        return
    own = {key: value for key, value in entry.items() if key != "grid"}
    grid: dict[str, list[Any]] = entry.get("grid", {})
    for values in itertools.product(*grid.values()):
        varied = dict(zip(grid, values, strict=True))
        data = _merged(_merged(defaults, own), _unfolded(varied))
        yield replace(
            place,
            seeds=data.pop("seeds", 1),
            name=data.pop("name", ""),
            experiment=data.pop("experiment", ""),
            priority=data.pop("priority", 0),
            data=data,
            varied=varied,
        )


def _merged(far: Mapping[str, Any], near: Mapping[str, Any]) -> dict[str, Any]:
    """Lay the values that are nearer to a run over others."""
    hidden = {ALTERNATIVES[key] for key in near if key in ALTERNATIVES}
    merged = {key: value for key, value in far.items() if key not in hidden} | dict(near)
    for key in NESTED:
        if key in far and key in near:
            merged[key] = {**far[key], **near[key]}
    return merged


def _unfolded(varied: Mapping[str, Any]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key, value in varied.items():
        outer, dot, inner = key.partition(".")
        if dot:
            data.setdefault(outer, {})[inner] = value
        else:
            data[key] = value
    return data
