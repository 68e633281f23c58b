"""What a field of a spec may be: its kind, bounds, default and words, and how a value is read.

The rows themselves are in `fields`. Light: forms, commands and the API are made of them.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from apps.errors import FieldError, InvalidSpec
from apps.text.suggestions import did_you_mean
from apps.text.whole_numbers import whole_number
from apps.words import shown

Kind = Literal["int", "bool", "choice", "text", "object", "list"]
# Where the form of a new run has a field: among the first ones, folded away, or not at all.
Place = Literal["", "main", "more"]
# Who may change a field where a run goes on as a branch: nobody, whoever branches it by page,
# command or request, or a request alone.
OnBranch = Literal["kept", "asked", "open"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of a run's spec, for whoever reads, asks for, shows or documents it.

    Attributes:
        name: Its name in the spec.
        kind: `object` is one of values by name.
        default: What it is when nobody says; None also where that depends on other fields.
        meaning: What it is, for people: a phrase without a full stop.
        title: Its label in forms and on the page of a run; empty: they do not name it.
        hint: What a form says under it; made of `unit` and `zero` where nothing is given.
        unit: What a number counts.
        zero: What a number of 0 stands for.
        low: Least allowed number, inclusive.
        high: Greatest allowed number, inclusive.
        choices: Allowed values of kind `choice`, and how a form names them.
        blank: What a form's choice of nothing is called; empty: one has to be chosen.
        is_optional: Whether None is allowed.
        reads: Reads a value where the kind does not say it all; raises ValueError or InvalidSpec.
        flags: Its options on the command line; none: it has none of its own.
        metavar: What follows the option, where the kind does not say it.
        option_help: What a command says of it, where it is not what a form or the API says.
        see: The document that says more of it.
        place: Where the form of a new run has it.
        on_branch: Who may change it where a run goes on as a branch.
        is_asked: Whether whoever asks for a run gives it; else it is settled by the verbs.
        is_stored: Whether a spec keeps it; else it only says what another field is to be.
    """

    name: str
    kind: Kind
    default: Any
    meaning: str
    title: str = ""
    hint: str = ""
    unit: str = ""
    zero: str = ""
    low: int = 0
    high: int = 0
    choices: Mapping[str, str] = field(default_factory=dict)
    blank: str = ""
    is_optional: bool = False
    reads: Callable[[Any], Any] | None = None
    flags: tuple[str, ...] = ()
    metavar: str = ""
    option_help: str = ""
    see: str = ""
    place: Place = ""
    on_branch: OnBranch = "open"
    is_asked: bool = True
    is_stored: bool = True

    @property
    def bounds(self) -> tuple[int, int]:
        """Least and greatest allowed number."""
        return self.low, self.high

    @property
    def description(self) -> str:
        """What it is and what 0 stands for, as a sentence."""
        return f"{self.meaning}; 0: {self.zero}." if self.zero else f"{self.meaning}."

    @property
    def help_text(self) -> str:
        """What a form says under it."""
        if self.hint or not self.zero:
            return self.hint
        return f"{self.unit.capitalize()}; blank or 0: {self.zero}."

    @property
    def help_line(self) -> str:
        """What a command's help says of its option."""
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        said = self.hint if self.kind == "bool" else self.description
        return self.option_help or said[0].lower() + said[1:].removesuffix(".")

    @property
    def option(self) -> str:
        """How its option is written on the command line."""
        return f"{self.flags[0]} {self.metavar}".strip()

    def allowed(self) -> str:
        """Say in words which values are allowed."""
        words = {
            "int": f"a whole number from {self.low} to {self.high}",
            "bool": "true or false",
            "choice": ", ".join(self.choices),
            "text": "text",
            "object": "an object of values by name",
            "list": "a list",
        }[self.kind]
        return words + (", or null" if self.is_optional else "")

    def parse(self, value: Any) -> Any:
        """Return the value in its own type.

        Raises:
            InvalidSpec: Names the field, the value and what is allowed.
        """
        if value is None and self.is_optional:
            return None
        try:
            return self._read(value)
        except ValueError as error:
            raise InvalidSpec([FieldError(self.name, str(error))]) from None

    def _read(self, value: Any) -> Any:
        if self.reads:
            return self.reads(value)
        if self.kind == "int":
            return read_whole(value, self.bounds)
        if self.kind == "bool":
            return read_switch(value)
        return read_choice(value, self.choices) if self.kind == "choice" else value


def read_whole(value: Any, bounds: tuple[int, int]) -> int:
    """Return a whole number within bounds, in whatever spelling it was given.

    Raises:
        ValueError: It is none, or out of bounds.
    """
    low, high = bounds
    whole = whole_number(value)
    if whole is None or not low <= whole <= high:
        allowed = f"it must be a whole number from {low} to {high}"
        raise ValueError(f"{shown(value)} is not allowed; {allowed}")
    return whole


def read_switch(value: Any) -> bool:
    """Return true or false.

    Raises:
        ValueError: It is neither.
    """
    if not isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not true or false")
    return value


def read_choice(value: Any, choices: Collection[str]) -> str:
    """Return one of the choices.

    Raises:
        ValueError: It is none of them; says which may have been meant.
    """
    allowed = [*choices]  # A list: what was given may not be hashable.
    if value not in allowed:
        listed = f"{', '.join(allowed)}{did_you_mean(value, allowed)}"
        raise ValueError(f"{shown(value)} is not allowed; allowed: {listed}")
    return str(value)


def check_numbers(
    values: dict[str, Any], bounds: Mapping[str, tuple[int, int]], errors: list[FieldError]
) -> None:
    """Turn the whole numbers among some values into integers, and note those out of bounds."""
    for name, allowed in bounds.items():
        if name not in values:
            continue
        try:
            values[name] = read_whole(values[name], allowed)
        except ValueError as error:
            errors.append(FieldError(name, str(error)))


def check_switch(values: dict[str, Any], name: str, errors: list[FieldError]) -> None:
    """Note a value that is neither true nor false."""
    try:
        read_switch(values.get(name, False))
    except ValueError as error:
        errors.append(FieldError(name, str(error)))


def refuse(errors: list[FieldError]) -> None:
    """Raise `InvalidSpec` where anything was noted."""
    if errors:
        raise InvalidSpec(errors)


def unknown_keys(data: Mapping[str, Any], allowed: Collection[str]) -> list[FieldError]:
    """Return an error for each key that is not allowed, with what may have been meant."""
    return [
        FieldError(str(key), f"unknown; allowed: {', '.join(allowed)}{did_you_mean(key, allowed)}")
        for key in data
        if key not in allowed
    ]
