r"""What a name that a person gives may hold, and how text is shown where terminals obey it.

A name is one line of visible characters. What was stored before that rule, or comes from a file,
is never refused: it is shown with what a terminal obeys written out (`\x1b`, `\u202e`).
"""

import json
import logging
import re
import unicodedata
from typing import Any

from apps.errors import FieldError, InvalidSpec
from apps.words import shown

# The longest of each kind of name, in characters.
LIMITS = {
    "run": 120,
    "experiment": 120,
    "token": 80,
    "file": 120,
    "reason": 500,
    "hypothesis": 10_000,
}
ID_ALPHABET = "23456789abcdefghjkmnpqrstuvwxyz"  # Without letters that read alike.
ID_LENGTH = 10
RUN_ID = re.compile(f"[{ID_ALPHABET}]{{{ID_LENGTH}}}")
LATEST = "latest"  # What a person types for the run that was made last.

# Of control, format, surrogate, separator of lines or paragraphs, and private use.
OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp", "Co"})
LINE_BREAKS = frozenset("\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029")
DIRECTIONS = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
BLANK_LETTERS = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0")
SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")


def is_visible(character: str) -> bool:
    """Whether a terminal shows a character, or a space for it, and does nothing else with it."""
    return (
        unicodedata.category(character) not in OBEYED
        and character not in BLANK_LETTERS
        and ord(character) & 0xFFFE != 0xFFFE  # No characters at all, by Unicode's word.
    )


def read(field: str, value: Any, kind: str, is_required: bool = False) -> str:
    """Return a name as it is kept: without surrounding spaces, with plain ones inside.

    Args:
        field: What a refusal calls it.
        value: What was given.
        kind: A key of `LIMITS`.
        is_required: Whether an empty name is refused.

    Raises:
        InvalidSpec: Says what is wrong with it, and where.
    """
    if message := wrong_with(value, kind, is_required):
        raise InvalidSpec([FieldError(field, message)])
    return kept(value)


def kept(value: str) -> str:
    """Return a name without surrounding spaces, with plain ones inside."""
    return SPACES.sub(" ", value).strip(" ")


def wrong_with(value: Any, kind: str, is_required: bool = False) -> str:
    """Return what is wrong with a name, empty when nothing is; see `read`."""
    if not isinstance(value, str):
        return f"{shown(value)} is not text"
    name, limit = kept(value), LIMITS[kind]
    if not name and is_required:
        return f"is empty; it must have 1 to {limit} characters"
    if len(name) > limit:
        return f"{shown(name)} is not allowed; it has {len(name)} characters, at most {limit} are"
    for place, character in enumerate(name, 1):
        if not is_visible(character) and not (kind == "hypothesis" and character in "\t\r\n"):
            return (
                f"{shown(name)} is not allowed; character {place} is {_in_words(character)}: it "
                "must be one line of visible characters"
            )
    return reserved(name) if kind == "run" else ""


def reserved(name: str) -> str:
    """Return why a name stands for another run than the one that has it, empty if it does not."""
    if name.casefold() == LATEST:
        return f"{shown(name)} is not allowed; it stands for the run that was made last"
    if RUN_ID.fullmatch(name):
        return f"{shown(name)} is not allowed; it looks like the id of a run"
    return ""


def _in_words(character: str) -> str:
    kind = "an invisible character"
    if character in LINE_BREAKS:
        kind = "a line break"
    elif character in DIRECTIONS:
        kind = "a direction mark"
    elif unicodedata.category(character) == "Cc":
        kind = "a control character"
    elif unicodedata.category(character) == "Cs":
        kind = "half a character, a lone surrogate"
    return f"U+{ord(character):04X}, {kind}"


def derived(text: str, kind: str) -> str:
    """Return a name made of other text, whatever that holds, escaped and cut to its limit."""
    return kept(one_line(text))[: LIMITS[kind]].strip(" ")


def one_line(text: str) -> str:
    """Return a text as one line in which a terminal finds nothing to obey."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if is_visible(character) else character.encode("unicode_escape").decode()
        for character in text
    )


def one_line_json(text: str) -> str:
    """Return JSON as `one_line` has it, by its own escapes, so that it is read back the same."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        character if is_visible(character) else json.dumps(character)[1:-1] for character in text
    )


def lines(text: str) -> str:
    """Return a text of several lines, such as a traceback, each as `one_line` has it."""
    plain = text.replace("\r\n", "\n").expandtabs(4)
    return "\n".join(map(one_line, plain.split("\n")))


class LineFormatter(logging.Formatter):
    """Writes each message as one line, so that no name in it can forge another."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        """Format a record's message; tracebacks come after it, in lines of their own."""
        record.message = one_line(record.message)
        return super().formatMessage(record)

    def formatException(self, ei: Any) -> str:
        """Format a traceback, in which the message of an exception may say anything."""
        return lines(super().formatException(ei))
