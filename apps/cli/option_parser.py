"""How options are read: a mistake is one line that says what was meant, and code 1."""

from argparse import ArgumentTypeError
from collections.abc import Callable, Collection
from typing import Any, NoReturn

from django.core.management.base import CommandError, CommandParser

from apps.text.suggestions import did_you_mean
from apps.text.whole_numbers import whole_number
from apps.words import shown

MAX_WORKERS = 64
UNKNOWN = "unrecognized arguments: "


class OptionParser(CommandParser):
    """Refuses as every other refusal is made: without usage, with what comes close."""

    def error(self, message: str) -> NoReturn:
        """Refuse the options."""
        if message.startswith(UNKNOWN):
            raise CommandError(self._unknown(message.removeprefix(UNKNOWN).split()))
        raise CommandError(message.removeprefix("argument "))

    def _unknown(self, words: list[str]) -> str:
        known = [*self._option_string_actions]
        options = [word.partition("=")[0] for word in words if word.startswith("-")]
        if not options:
            return f"{' '.join(words)}: not expected here; {self.prog} --help lists what is"
        hint = did_you_mean(options[0], known) or f"; {self.prog} --help lists those there are"
        return f"{options[0]} is no option of {self.prog.rpartition(' ')[2]}{hint}"


def whole(text: str) -> int | str:
    """Read a whole number of any spelling; anything else is refused by whom it is for."""
    number = whole_number(text)
    return text if number is None else number


def whole_between(low: int, high: int) -> Callable[[str], int]:
    """Return the reader of a whole number within bounds."""

    def read(text: str) -> int:
        number = whole_number(text)
        if number is None or not low <= number <= high:
            allowed = f"it must be a whole number from {low} to {high}"
            raise ArgumentTypeError(f"{shown(text)} is not allowed; {allowed}")
        return number

    return read


def one_of(names: Collection[str]) -> Callable[[str], str]:
    """Return the reader of a name."""

    def read(text: str) -> str:
        if text not in names:
            listed = f"{', '.join(names)}{did_you_mean(text, names)}"
            raise ArgumentTypeError(f"{shown(text)} is not allowed; allowed: {listed}")
        return text

    return read


def refusing(parser: CommandParser, **options: Any) -> OptionParser:
    """Return a parser with another's options that refuses in our way."""
    return OptionParser(
        prog=parser.prog,
        description=parser.description,
        parents=[parser],
        formatter_class=parser.formatter_class,
        **options,
    )
