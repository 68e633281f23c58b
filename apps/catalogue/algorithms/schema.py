"""What a hyperparameter may be: its type, bounds, default, meaning, and how a value is read.

Must stay light: forms, the API and specs validate with it, and none of them loads a library.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal

from apps.text.suggestions import did_you_mean
from apps.text.whole_numbers import whole_number
from apps.words import _SHORT, shown

Kind = Literal["int", "float", "bool", "choice", "layers"]

SCHEDULE_PREFIX = "lin_"
MAX_LAYERS = 8
MAX_LAYER_WIDTH = 4096

_SHORT.maxstring = _SHORT.maxlong = _SHORT.maxother = 80
_SHORT.maxlist = _SHORT.maxdict = 12


@dataclass(frozen=True, slots=True)
class Hyperparameter:
    """One hyperparameter: its type, bounds, default and meaning.

    Attributes:
        name: Keyword of the algorithm's constructor, or one of ours (`is_ours`).
        kind: `layers` is a list of hidden-layer widths.
        default: The library's default; None where the library says None.
        unset: Of kind `layers`: what the library's widest networks have where the value is None.
        low: Least allowed number, inclusive.
        high: Greatest allowed number, inclusive.
        choices: Allowed values of kind `choice`.
        words: Words allowed in place of a number (`auto`); one that ends in `_` takes a number
            after it (`auto_` allows `auto_0.1`).
        is_schedule: Whether `lin_<number>` (linear decay to 0 over the run) is allowed.
        is_optional: Whether None is allowed.
        is_log: Whether the value is best varied on a logarithmic scale.
        is_important: Whether it is among the few that matter most.
        is_ours: Whether it is no keyword of the constructor: it becomes a keyword of the policy,
            or an object that text cannot name (action noise, a hindsight buffer).
        meaning: One line for people.
    """

    name: str
    kind: Kind
    default: Any
    meaning: str
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    words: tuple[str, ...] = ()
    is_schedule: bool = False
    is_optional: bool = False
    is_log: bool = False
    is_important: bool = False
    is_ours: bool = False
    unset: tuple[int, ...] = ()

    def allowed(self) -> str:
        """Say in words which values are allowed."""
        if self.kind == "choice":
            text = "one of " + ", ".join(self.choices)
        elif self.kind == "bool":
            text = "true or false"
        elif self.kind == "layers":
            text = f"a list of 1 to {MAX_LAYERS} layer widths, each 1 to {MAX_LAYER_WIDTH}"
        elif self.kind == "int":
            text = f"an integer from {self.low:.0f} to {self.high:.0f}"
        else:
            text = f"a number from {self.low:g} to {self.high:g}"
        if self.is_schedule:
            text += f", or {SCHEDULE_PREFIX}<number> for linear decay"
        for word in self.words:
            text += f", or {word}<number>" if word.endswith("_") else f", or {word}"
        return text + (", or null" if self.is_optional else "")

    def parse(self, value: Any) -> Any:
        """Return the value in its own type.

        Raises:
            ValueError: The value has the wrong type or is out of bounds.
        """
        if value is None and self.is_optional:
            return None
        if self.kind == "choice":
            return self._parse_choice(value)
        if self.kind == "bool":
            return self._parse_bool(value)
        if self.kind == "layers":
            return self._parse_layers(value)
        return self._parse_text(value) if isinstance(value, str) else self._parse_number(value)

    def _refusal(self, value: Any) -> ValueError:
        return ValueError(f"{shown(value)} is not allowed; it must be {self.allowed()}")

    def _check(self, value: Any, is_allowed: bool) -> Any:
        if not is_allowed:
            raise self._refusal(value)
        return value

    def _parse_choice(self, value: Any) -> Any:
        if not isinstance(value, str) or value not in self.choices:
            raise ValueError(f"{self._refusal(value)}{did_you_mean(value, self.choices)}")
        return value

    def _parse_bool(self, value: Any) -> bool:
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        return bool(self._check(value, isinstance(value, bool)))

    def _parse_layers(self, value: Any) -> list[int]:
        widths = _widths_in(value) if isinstance(value, str) else value
        if not isinstance(widths, list | tuple) or not 1 <= len(widths) <= MAX_LAYERS:
            raise self._refusal(value)
        whole = [whole_number(width) for width in widths]
        layers = [width for width in whole if width and 1 <= width <= MAX_LAYER_WIDTH]
        self._check(value, len(layers) == len(whole))
        return layers

    def _parse_text(self, value: str) -> int | float | str:
        if value in self.words and not value.endswith("_"):
            return value
        prefixes = [word for word in self.words if word.endswith("_")]
        for prefix in [SCHEDULE_PREFIX] * self.is_schedule + prefixes:
            if value.startswith(prefix):
                try:
                    return f"{prefix}{self._parse_number(value.removeprefix(prefix))!r}"
                except ValueError:
                    raise self._refusal(value) from None
        return self._parse_number(value)

    def _parse_number(self, value: Any) -> int | float:
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise self._refusal(value)
        try:
            number = float(value)
        except (ValueError, OverflowError):
            raise self._refusal(value) from None
        assert self.low is not None
        assert self.high is not None
        in_bounds = math.isfinite(number) and self.low <= number <= self.high
        is_whole = self.kind == "float" or number == int(number) if in_bounds else False
        self._check(value, in_bounds and is_whole)
        return int(number) if self.kind == "int" else number


def _widths_in(text: str) -> list[str]:
    """Return the words of `64, 64`, `64 64` or `[64, 64]`."""
    return text.strip().removeprefix("[").removesuffix("]").replace(",", " ").split()
