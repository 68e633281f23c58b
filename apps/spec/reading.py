"""How a run's spec is read: each field by its row, then what is left out, then contradictions.

Everything that is wrong is told in one round. Only what takes a value that could not be read is
left for the next, and nothing else is.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from typing import Any

from apps.catalogue.algorithms.algorithm import Algorithm
from apps.catalogue.algorithms.backends import BACKENDS, DEFAULT_BACKEND, find_algorithm
from apps.catalogue.normalizing import resolve_normalization
from apps.errors import FieldError, InvalidSpec
from apps.spec.conflicts import conflicts
from apps.spec.defaults import apply_family, apply_length, apply_preset
from apps.spec.fields import DEFAULT_ALGORITHM, DEFAULT_ENVIRONMENT, FIELDS
from apps.spec.schema import unknown_keys
from apps.text.suggestions import SYNONYMS

# What a preset takes to be found, and what it fills in beside hyperparameters.
_FINDS_PRESET = {"algorithm", "environment", "preset", "hyperparameters"}
_OF_PRESET = ("n_envs", "normalize", "vectorization")
_OF_FAMILY = ("wrappers", "frame_stack", "environment_kwargs")


class Reading:
    """Reads the data of a run's spec.

    Attributes:
        values: Every field that a spec keeps; a stand-in for each that could not be read.
        unread: Those, hyperparameters as `hyperparameters.NAME`.
        errors: Every refused field.
    """

    def __init__(self, data: Mapping[str, Any]) -> None:
        self.values: dict[str, Any] = {}
        self.unread: set[str] = set()
        self.errors = unknown_keys(data, FIELDS)
        for name, row in FIELDS.items():
            if name in data:
                with self._noting(name):
                    self.values[name] = row.parse(data[name])
        self._algorithm = self._find_algorithm()
        self._fill_in_of_environment()
        self._resolve_hyperparameters(self._fill_in_of_preset())
        self._fill_in_the_rest()
        self.errors += conflicts(self._algorithm, self.values, self.unread)

    @contextmanager
    def _noting(self, name: str) -> Iterator[None]:
        """Note a refusal, and that the field has no value."""
        try:
            yield
        except InvalidSpec as refused:
            self.errors += refused.errors
            self.values.pop(name, None)
            self.unread.add(name)

    def _find_algorithm(self) -> Algorithm:
        """Return the algorithm as its backend has it; some other where there is none such."""
        self.values.setdefault("backend", DEFAULT_BACKEND)
        name = self.values.setdefault("algorithm", DEFAULT_ALGORITHM)
        if "backend" in self.unread:
            self.unread.add("algorithm")
        else:
            with self._noting("algorithm"):
                return find_algorithm(self.values["backend"], name)
        self.values["algorithm"] = DEFAULT_ALGORITHM
        return BACKENDS[self.values["backend"]].algorithms[DEFAULT_ALGORITHM]

    def _fill_in_of_environment(self) -> None:
        if "environment" in self.unread:
            self._miss(*_OF_FAMILY)
            self.values["environment"] = DEFAULT_ENVIRONMENT
        self.values.setdefault("environment", DEFAULT_ENVIRONMENT)
        apply_family(self.values)
        if self.values.get("length") and "total_timesteps" in self.values:
            message = "give either length or total_timesteps, not both"
            self.errors.append(FieldError("length", message))
        apply_length(self.values)

    def _fill_in_of_preset(self) -> Mapping[str, Any]:
        """Fill in what the preset has, and return its hyperparameters under those given."""
        given: Mapping[str, Any] = self.values.get("hyperparameters", {})
        has_preset = "preset" in self.unread or self.values.get("preset") is not None
        if has_preset and not self.unread & _FINDS_PRESET:
            with self._noting("preset"):
                return apply_preset(self.values, given, self._algorithm)
        if has_preset:
            self._miss(*_OF_PRESET)
        if has_preset or "hyperparameters" in self.unread:
            own = self._algorithm.hyperparameters
            self.unread |= {f"hyperparameters.{name}" for name in own if name not in given}
        return given

    def _miss(self, *names: str) -> None:
        """Note that fields have no value, but for those that were given."""
        self.unread |= {name for name in names if name not in self.values}

    def _resolve_hyperparameters(self, given: Mapping[str, Any]) -> None:
        schemas = self._algorithm.hyperparameters
        values = {name: schema.default for name, schema in schemas.items()}
        if "algorithm" not in self.unread:
            misplaced, own = _misplaced(given, self._algorithm)
            known, refused = self._algorithm.resolve(own)
            values |= known
            self.errors += misplaced + refused
            self.unread |= {error.field for error in refused}
        self.values["hyperparameters"] = values

    def _fill_in_the_rest(self) -> None:
        self.values["normalize"], refused = resolve_normalization(self.values.get("normalize"))
        self.errors += refused
        for name, row in FIELDS.items():
            if row.is_stored:
                self.values.setdefault(name, deepcopy(row.default))
            else:
                self.values.pop(name, None)


def _misplaced(
    given: Mapping[str, Any], algorithm: Algorithm
) -> tuple[list[FieldError], dict[str, Any]]:
    """Refuse fields of the spec that stand among the hyperparameters; return those with the rest.

    RL-Baselines3-Zoo has them there, some by other names.
    """
    errors, own = [], {}
    for name, value in given.items():
        field_name = SYNONYMS.get(str(name), str(name))
        is_field = field_name in FIELDS and FIELDS[field_name].is_stored
        if name in algorithm.hyperparameters or not is_field:
            own[name] = value
        else:
            words = f"is no hyperparameter; write it beside them, as {field_name}"
            errors.append(FieldError(f"hyperparameters.{name}", words))
    return errors, own
